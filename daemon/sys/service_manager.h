// The daemon's side of systemd's protocols: socket activation (sd_listen_fds(3)) and readiness
// (sd_notify(3)). Without systemd all of it does nothing.
#pragma once

#include <optional>
#include <string>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::sys {

// The listening socket that the service manager passed, if it passed any. An error if it passed
// something that is not one listening Unix socket of type SOCK_SEQPACKET. Call it once, before
// threads start: it takes the variables out of the environment.
Result<std::optional<UniqueFd>> take_activation_socket();

void notify_ready(const std::string& status);
void notify_stopping();

}  // namespace pycds::sys
