// Sources of a peer of the daemon's, who sends the contents of his own files over a socket
// (PROTOCOL.md, "sources"): nobody follows a path on his word. He may mean no good.
//
// Contents and not descriptors, because a descriptor of a file that lies on a FUSE file system of
// his can be closed by nobody against his will: even a process that is killed waits for his answer
// to FUSE_FLUSH when it ends (fs/fuse/file.c, fuse_flush(); Linux 6.18), and would stay for ever. One
// that he sends all the same is dropped by the kernel without ever being ours: read(2) takes none.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "client/builder/pyc_file.h"
#include "src/common/base/result.h"
#include "src/common/image/format.h"

namespace pycds::builder {

struct OfferedSource {
    std::string path;
    std::optional<image::LeftOutReason> reason;  // the peer's or ours; nothing: `file` is good
    PycFile file;
};

struct OfferLimits {
    std::chrono::milliseconds patience{5000};       // for the next byte
    uint64_t max_bytes = uint64_t{256} << 20;       // of all that is sent
};

// Receives until the peer closes its end. `like`: all of the requests but the source. No path comes
// twice: of several the first counts.
Result<std::vector<OfferedSource>> receive_offered(int socket, const PycRequest& like,
                                                   const OfferLimits& limits = {});

}  // namespace pycds::builder
