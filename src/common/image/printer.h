// What an image holds, for people and for scripts. Needs no interpreter.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace pycds::image {

struct PrintOptions {
    bool roots = false;     // one line, or JSON object, for each root
    bool left_out = false;  // the same for each source that is not in the image, with the reason
};

// `image` has passed validate_image(). Of an image of another format version, which needs at least
// the bytes of its FrozenPrefix and kMagic in it, only the prefix is printed: it never changes.
// Anything else prints as "not an image".

// Several lines, each ended by a newline. Not for parsing: lines may change with any release.
std::string print_text(std::span<const std::byte> image, const PrintOptions& options = {});

// One JSON object on one line, ended by a newline. Keys keep their meaning once released; new ones
// may come. Addresses, digests and checksums are strings of hexadecimal digits, all other numbers
// are numbers. Paths are escaped as base/text.h says. "known_version" is false where only the
// prefix could be read; then only the keys of the prefix are there.
std::string print_json(std::span<const std::byte> image, const PrintOptions& options = {});

}  // namespace pycds::image
