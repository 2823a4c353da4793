// Making an image fit an interpreter that lies elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pycds::image {

// Changes an image that has passed validate_image(): its external references become those for an
// interpreter whose ELF object is loaded at `runtime_base`, checksums included. `image` is the
// whole file, 8-byte aligned. False, and nothing is changed, if it was made for one that is not
// position-independent (runtime_base 0), whose address nobody chooses.
bool rebase(std::byte* image, uint64_t runtime_base);

}  // namespace pycds::image
