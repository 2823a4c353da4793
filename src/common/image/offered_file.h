// What a peer of the daemon's says of a .pyc file of his own (client/builder/PROTOCOL.md, "sources").
// He and the builder are on one machine: numbers are in its byte order.
#pragma once

#include <cstdint>

namespace pycds::image {

// A module larger than this is no module (the largest of Debian's is below 2 MiB).
inline constexpr int64_t kMaxPycSize = int64_t{256} << 20;  // bytes

struct OfferedFile {
    uint64_t dev = 0;  // of the .pyc, by stat(2)
    uint64_t ino = 0;
    uint64_t size = 0;  // bytes, which follow
    int64_t mtime_ns = 0;
    int64_t ctime_ns = 0;
    int64_t source_mtime_ns = 0;
    uint64_t source_size = 0;  // bytes
};

}  // namespace pycds::image
