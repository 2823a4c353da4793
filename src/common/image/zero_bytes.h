// Is memory zero? For the validator's two parts. Freestanding: the client includes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pycds::image {

// Index of the first byte that is not zero, or `size`. `data` may be unaligned.
inline uint64_t first_nonzero(const void* data, uint64_t size) {
    const unsigned char* bytes = static_cast<const unsigned char*>(data);
    uint64_t i = 0;
    for (; size - i >= 32; i += 32) {
        uint64_t words[4];
        std::memcpy(words, bytes + i, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) != 0) break;
    }
    while (i < size && bytes[i] == 0) ++i;
    return i;
}

}  // namespace pycds::image
