// Bytes for people and for scripts. Paths and names come from outside and are any bytes: they may
// hold terminal escapes, newlines and what is not UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pycds {

// A JSON string, quotes included. A byte that is not part of valid UTF-8 becomes \udcXX, as
// Python's surrogateescape has it, so os.fsencode(json.loads(...)) gives the bytes back. The result
// is valid UTF-8 without control characters.
std::string json_string(std::string_view bytes);

// For a terminal: valid UTF-8 as it is, control characters, backslashes and other bytes as \xNN,
// so that one line stays one line and different bytes look different.
std::string printable(std::string_view bytes);

// Valid UTF-8 without control characters other than tabs?
bool is_text_line(std::string_view bytes);

// Lower-case hexadecimal, two digits a byte.
std::string hex(const uint8_t* bytes, size_t size);

// "17 B", "4.0 KiB", "20.5 MiB": binary units, one decimal from KiB on.
std::string human_size(uint64_t bytes);

// "3.11.2" of a version text of Python's, "3.11.2 (main, ...) [GCC ...]".
std::string short_version(std::string_view python);

}  // namespace pycds
