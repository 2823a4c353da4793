#include "src/common/os/peer_place.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "src/common/os/peer_identity.h"
#include "src/common/os/unique_fd.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // include/uapi/asm-generic/socket.h
#endif

namespace pycds {
namespace {

UniqueFd pidfd_of_peer(int socket) {
    int fd = -1;
    socklen_t size = sizeof fd;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) return UniqueFd(fd);
    if (errno != ENOPROTOOPT) return UniqueFd();
    PeerIdentity peer;
    if (!read_peer_identity(socket, &peer) || peer.pid <= 0) return UniqueFd();
    return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));
}

}  // namespace

PeerPlace find_peer_place(int socket) {
    const UniqueFd pidfd = pidfd_of_peer(socket);
    if (!pidfd) return errno == ESRCH ? PeerPlace::kElsewhere : PeerPlace::kUnknown;
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd.get());
    const UniqueFd info(open(path, O_RDONLY | O_CLOEXEC));
    char text[1024];
    const ssize_t size = info ? read(info.get(), text, sizeof text - 1) : -1;
    if (size <= 0) return PeerPlace::kUnknown;
    text[size] = '\0';
    // "NSpid:\t4711\n", with one more number for each namespace below ours; 0 or -1 for a process
    // that is in none that we see, or is no more.
    constexpr char kTitle[] = "\nNSpid:\t";
    const char* pids = std::strstr(text, kTitle);
    if (pids == nullptr) return PeerPlace::kUnknown;
    char* end = nullptr;
    const long pid = std::strtol(pids + std::strlen(kTitle), &end, 10);
    return pid > 0 && *end == '\n' ? PeerPlace::kHere : PeerPlace::kElsewhere;
}

}  // namespace pycds
