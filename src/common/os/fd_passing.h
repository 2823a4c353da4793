// One message with descriptors over a connected SOCK_SEQPACKET socket. Freestanding (no
// allocation, no exceptions): the client includes it.
//
// Descriptors travel in the same message as the reply that names them, so a reply is either whole
// or not there. A message that is truncated, or that carries more descriptors than the receiver
// has room for, is refused and every descriptor that came with it is closed (unix(7): without
// that they would leak into the process).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "src/common/os/unique_fd.h"

namespace pycds {

// Most descriptors in one message. The kernel's own limit is 253 (SCM_MAX_FD, unix(7)).
inline constexpr size_t kMaxFdsPerMessage = 8;

enum class IoStatus {
    kOk,
    kAgain,      // the socket is non-blocking and not ready
    kClosed,     // the peer is gone
    kTruncated,  // larger than the buffer, or more descriptors than room for them
    kError,      // errno says why
};

// Sends `size` bytes and `fd_count` (at most kMaxFdsPerMessage) descriptors, which stay the
// caller's. Never raises SIGPIPE.
inline IoStatus send_message(int socket, const void* data, size_t size, const int* fds,
                             size_t fd_count, int flags = 0) {
    if (fd_count > kMaxFdsPerMessage) {
        errno = EINVAL;
        return IoStatus::kError;
    }
    iovec iov{const_cast<void*>(data), size};
    alignas(cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * kMaxFdsPerMessage)] = {};
    msghdr message{};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    if (fd_count != 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        std::memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        const ssize_t sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
        if (sent >= 0) return IoStatus::kOk;
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return IoStatus::kAgain;
        if (errno == EPIPE || errno == ECONNRESET) return IoStatus::kClosed;
        return IoStatus::kError;
    }
}

// May peers send descriptors over this Unix socket, or those that will be accepted from it? Since
// Linux 6.16 their sendmsg(2) fails otherwise (EPERM); before it nothing changes.
inline void let_descriptors_pass(int socket, bool pass) {
    constexpr int kSoPassRights = 83;  // include/uapi/asm-generic/socket.h
    const int value = pass ? 1 : 0;
    setsockopt(socket, SOL_SOCKET, kSoPassRights, &value, sizeof value);
}

struct ReceivedMessage {
    size_t size = 0;
    UniqueFd fds[kMaxFdsPerMessage];
    size_t fd_count = 0;
};

enum class Descriptors {
    kTake,
    // They are dropped by the kernel and never ours: closing one may take as long as who made it
    // wants (a file of his own FUSE file system waits for his answer to FUSE_FLUSH).
    kDrop,
};

// Receives one message into `buffer`. On any status but kOk, `out` is as it was and no
// descriptor stays open. Received descriptors are close-on-exec.
inline IoStatus receive_message(int socket, void* buffer, size_t capacity, ReceivedMessage* out,
                                int flags = 0, Descriptors descriptors = Descriptors::kTake) {
    iovec iov{buffer, capacity};
    alignas(cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * kMaxFdsPerMessage)] = {};
    msghdr message{};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    if (descriptors == Descriptors::kTake) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
    }
    ssize_t got = 0;
    do {
        got = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return IoStatus::kAgain;
        if (errno == ECONNRESET) return IoStatus::kClosed;
        return IoStatus::kError;
    }
    ReceivedMessage message_out;
    bool surplus = false;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
            if (message_out.fd_count < kMaxFdsPerMessage) {
                message_out.fds[message_out.fd_count++].reset(fd);
            } else {
                close(fd);
                surplus = true;
            }
        }
    }
    const int cut = MSG_TRUNC | (descriptors == Descriptors::kTake ? MSG_CTRUNC : 0);
    if (surplus || (message.msg_flags & cut) != 0) return IoStatus::kTruncated;
    // Nothing of ours is empty, so a message of no bytes is the end of the connection
    // (recvmsg(2): a seqpacket socket cannot tell the two apart).
    if (got == 0) return IoStatus::kClosed;
    message_out.size = static_cast<size_t>(got);
    *out = static_cast<ReceivedMessage&&>(message_out);
    return IoStatus::kOk;
}

}  // namespace pycds
