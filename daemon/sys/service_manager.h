// The daemon's side of systemd's protocols: socket activation and stored descriptors
// (sd_listen_fds(3)), readiness and signs of life (sd_notify(3)). Without systemd all of it does
// nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::sys {

// A descriptor that the service manager kept over a restart (fd_store.h).
struct StoredDescriptor {
    std::string name;
    UniqueFd fd;
};

struct PassedDescriptors {
    std::optional<UniqueFd> socket;  // listening
    std::vector<StoredDescriptor> stored;
};

// What the service manager passed: sockets, and what it stored. An error if it passed several
// sockets or one that is not a listening Unix socket of type SOCK_SEQPACKET. Call it once, before
// threads start: it takes the variables out of the environment.
Result<PassedDescriptors> take_passed_descriptors();

// For a daemon that cannot start: whoever waits on the socket that the service manager passed, if
// it passed one, is turned away at once rather than left to wait until the manager gives up. Call
// it instead of take_passed_descriptors(), which takes the socket.
void turn_away_waiting();

// `status` is one line of UTF-8.
void notify_ready(const std::string& status);
// Before the configuration is read again; notify_ready() ends it.
void notify_reloading();
void notify_stopping();

// How often the manager wants to hear notify_alive(), or nothing if it does not
// (sd_watchdog_enabled(3)).
std::optional<std::chrono::microseconds> watchdog_interval();
void notify_alive();

}  // namespace pycds::sys
