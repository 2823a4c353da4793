// Walks an image like a client that trusts a validated image, but with every access checked: what
// a validator lets pass must never lead a client out of bounds.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace pycds::fakes {

// Looks every root up by its path, follows its code object, intern list and frozensets, applies
// every ptrmap. Returns "" or what went wrong.
std::string walk_image(std::span<const std::byte> image);

}  // namespace pycds::fakes
