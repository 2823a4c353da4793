// Standard output, and how values look there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ctl/json.h"
#include "src/common/base/result.h"
#include "src/common/wire/messages.h"

namespace pycds::ctl {

// Writes all of it to standard output, or says why not (a full disk must not look like success).
Status print_out(std::string_view text);

// Has print_out been called? What is there then is a whole document, or the disk is full.
bool has_printed();

// Writes `text` into the file at `path`, in the place of what it held.
Status write_file(const std::string& path, std::string_view text);

// Does `fd` lead to a terminal that can more than print? Its columns, or `otherwise`.
bool is_terminal(int fd);
size_t terminal_width(int fd, size_t otherwise);

std::string duration_text(uint64_t milliseconds);       // "320 ms", "4.2 s", "3 min", "2 h", "5 d"
std::string age_text(uint64_t unix_milliseconds);       // how long ago, as duration_text
std::string hex_text(uint64_t value);                   // "0x200000000000"
std::string domain_text(const wire::ImageInfo& image);  // "system", "user 1000"

// "1 module", "2 modules".
std::string count_text(uint64_t count, std::string_view noun);

// One object with every field of the message.
void write_json(JsonWriter& json, const wire::ImageInfo& image);

// {"code": one word of those that --help lists, "message": the line}.
void write_json(JsonWriter& json, const Error& error);

}  // namespace pycds::ctl
