// Asking the daemon for images: one connection, one request, one reply, then nothing stays open.
// Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/common/image/format.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/unique_fd.h"

namespace pycds::link {

// How long the daemon's answer is waited for; then Python starts without us. An answer takes a
// fraction of a millisecond, so on a machine that has time for its processes there is nobody who
// answers if kPatienceMs have passed kRounds times: the daemon is being restarted, or it hangs, and
// a start must not feel that. On a busy machine it may not have had its turn, and its answer pays
// even late. Which of the two it is shows in ourselves, who wait for our turn after a timeout as
// the daemon does for its.
inline constexpr int kPatienceMs = 10;
inline constexpr int kRounds = 2;
inline constexpr int kDeadlineMs = 200;
// A timeout that ended with less delay than this ended on time.
inline constexpr int kOnTimeUs = 1000;

struct Attachment {
    UniqueFd images[kMaxFdsPerMessage];
    size_t count = 0;
};

// Asks the daemon at `socket_path` for the images of an interpreter. Returns nullptr, or why there
// are none, as a short stable name: "no-daemon", "not-allowed", "daemon-busy", "daemon-not-trusted",
// "deadline", "lost-daemon", "bad-reply", "no-image", ... Only a daemon that runs as root or as our own
// effective user is believed.
const char* attach(const char* socket_path, const uint8_t identity[16], Attachment* out);

}  // namespace pycds::link
