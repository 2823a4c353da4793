#include "daemon/sys/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include <cstdint>

#include <cstdlib>
#include <utility>

#include "src/common/os/sealed_memfd.h"

namespace pycds::sys {

namespace {

Status set_up_socket(int fd) {
    if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, nullptr, 0) <= 0) {
        return Error{ErrorCode::kInvalidArgument,
                     "what the service manager passed is not a listening Unix socket of type "
                     "SOCK_SEQPACKET; the socket unit needs ListenSequentialPacket="};
    }
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        return errno_error("cannot set up the socket of the service manager");
    }
    return Ok{};
}

}  // namespace

Result<PassedDescriptors> take_passed_descriptors() {
    char** names = nullptr;
    const int count = sd_listen_fds_with_names(1, &names);
    if (count < 0) return errno_error("cannot take the socket of the service manager", -count);
    PassedDescriptors out;
    std::vector<StoredDescriptor> all;
    for (int i = 0; i < count; ++i) {
        all.push_back({names[i], UniqueFd(SD_LISTEN_FDS_START + i)});
        std::free(names[i]);
    }
    std::free(names);
    for (StoredDescriptor& passed : all) {
        // Images are the only things that we store, and they are no sockets.
        if (regular_file_size(passed.fd.get()) >= 0) {
            out.stored.push_back(std::move(passed));
            continue;
        }
        if (out.socket) {
            return Error{ErrorCode::kInvalidArgument,
                         "the service manager passed more than one socket, expected one"};
        }
        const Status good = set_up_socket(passed.fd.get());
        if (!good) return good.error();
        out.socket = std::move(passed.fd);
    }
    return out;
}

void turn_away_waiting() {
    // Without taking the variables: who calls this ends.
    const int count = sd_listen_fds(0);
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; ++fd) {
        if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, nullptr, 0) <= 0) continue;
        const int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) continue;
        for (;;) {
            const UniqueFd peer(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
            if (!peer) break;
        }
    }
}

void notify_ready(const std::string& status) {
    sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void notify_reloading() {
    // The time tells Type=notify-reload that this answers its signal; others do not look at it.
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t usec =
        static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
    sd_notify(0, ("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(usec) +
                  "\nSTATUS=Reading the configuration")
                     .c_str());
}

std::optional<std::chrono::microseconds> watchdog_interval() {
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0) return std::nullopt;
    return std::chrono::microseconds(usec);
}

void notify_alive() {
    sd_notify(0, "WATCHDOG=1");
}

void notify_stopping() {
    sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
}

}  // namespace pycds::sys
