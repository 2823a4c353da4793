// Asking the daemon for images: one connection, one request, one reply, then nothing stays open.
// Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/common/image/format.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/unique_fd.h"

namespace pycds::link {

// The longest that is waited for the daemon's answer; then Python starts without us. A busy machine may
// need a few scheduling rounds; a hung daemon must not be felt by a person.
inline constexpr int kDeadlineMs = 200;

struct Attachment {
    UniqueFd images[kMaxFdsPerMessage];
    size_t count = 0;
};

// Asks the daemon at `socket_path` for the images of an interpreter. Returns nullptr, or why there
// are none, as a short stable name: "no-daemon", "daemon-busy", "daemon-not-trusted", "deadline",
// "lost-daemon", "bad-reply", "no-image", ... Only a daemon that runs as root or as our own
// effective user is believed.
const char* attach(const char* socket_path, const uint8_t identity[16], Attachment* out);

}  // namespace pycds::link
