#include "daemon/sys/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

namespace pycds::sys {

Result<std::optional<UniqueFd>> take_activation_socket() {
    const int count = sd_listen_fds(1);
    if (count < 0) return errno_error("cannot take the socket of the service manager", -count);
    if (count == 0) return std::optional<UniqueFd>();
    if (count > 1) {
        return Error{
            ErrorCode::kInvalidArgument,
            "the service manager passed " + std::to_string(count) + " sockets, expected one"};
    }
    UniqueFd fd(SD_LISTEN_FDS_START);
    if (sd_is_socket_unix(fd.get(), SOCK_SEQPACKET, 1, nullptr, 0) <= 0) {
        return Error{ErrorCode::kInvalidArgument,
                     "what the service manager passed is not a listening Unix socket of type "
                     "SOCK_SEQPACKET; the socket unit needs ListenSequentialPacket="};
    }
    const int flags = fcntl(fd.get(), F_GETFL);
    if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
        return errno_error("cannot set up the socket of the service manager");
    }
    return std::optional<UniqueFd>(std::move(fd));
}

void notify_ready(const std::string& status) {
    sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void notify_stopping() {
    sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
}

}  // namespace pycds::sys
