// XXH3 (libxxhash, header only): checksums of images and hashes of paths. Freestanding: compiled
// into whoever includes it, so that the client links nothing for it.
#pragma once

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "src/common/image/format.h"

namespace pycds::image {

inline uint64_t path_hash(const char* path, size_t size) { return XXH3_64bits(path, size); }

// PatternRecord::hash of a pattern's characters as they lie in memory, the width of one of them (0 for
// bytes objects) and the flags asked for.
inline uint64_t pattern_hash(const void* data, size_t size, uint32_t width, uint32_t flags) {
    return XXH3_64bits_withSeed(data, size, uint64_t{flags} << 8 | width);
}

inline void identity_digest(const InterpreterIdentity& identity, uint8_t out[16]) {
    const XXH128_hash_t hash = XXH3_128bits(&identity, sizeof identity);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    std::memcpy(out, canonical.digest, 16);
}

// FrozenPrefix::header_checksum of a header. `header.prefix.header_size` is not consulted.
inline uint64_t header_checksum(const Header& header) {
    Header copy = header;
    copy.prefix.checksum = 0;
    copy.prefix.header_checksum = 0;
    return XXH3_64bits(&copy, sizeof copy);
}

// FrozenPrefix::checksum of an image of `size` bytes (at least a page, a multiple of kPageSize):
// the hash of the first page with the field taken as zero seeds the hash of the rest.
inline uint64_t image_checksum(const std::byte* image, size_t size) {
    alignas(8) unsigned char first[kPageSize];
    std::memcpy(first, image, sizeof first);
    std::memset(first + offsetof(FrozenPrefix, checksum), 0, sizeof(uint64_t));
    const uint64_t seed = XXH3_64bits(first, sizeof first);
    return XXH3_64bits_withSeed(image + kPageSize, size - kPageSize, seed);
}

}  // namespace pycds::image
