#include "client/link/attach.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include <cerrno>
#include <cstring>

#include "src/common/os/peer_identity.h"
#include "src/common/wire/mini.h"

namespace pycds::link {
namespace {

// Field numbers of proto/pycds.proto.
constexpr uint32_t kRequestAttach = 1;
constexpr uint32_t kAttachIdentity = 1;
constexpr uint32_t kAttachFormatVersion = 2;
constexpr uint32_t kReplyAttach = 2;
constexpr uint32_t kAttachImages = 1;

// An AttachReply describes a handful of images in some hundred bytes each.
constexpr size_t kReplyCapacity = 8 * 1024;

int64_t now_us() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<int64_t>(time.tv_sec) * 1'000'000 + time.tv_nsec / 1000;
}

// The queue of those that the daemon has not accepted is full, of starts as ours or of somebody who
// fills it on purpose. It empties fast; so one may wait for the next place in it, as long as for a
// sign of life.
bool wait_for_place(int socket, const sockaddr_un& address) {
    const timeval patience{0, kPatienceMs * 1000};
    const int flags = fcntl(socket, F_GETFL);
    return setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
           fcntl(socket, F_SETFL, flags & ~O_NONBLOCK) == 0 &&
           connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
           fcntl(socket, F_SETFL, flags) == 0;
}

const char* connect_to(const char* path, UniqueFd* out) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const size_t size = std::strlen(path);
    if (size == 0 || size >= sizeof address.sun_path) return "socket-path";
    std::memcpy(address.sun_path, path, size);
    UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return "no-socket";
    // unix(7): a non-blocking connect either succeeds at once or says EAGAIN (full backlog).
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        // The daemon locks out for a moment who asks too often (daemon/ipc/lockout.h).
        if (errno == EACCES) return "not-allowed";
        if (errno != EAGAIN) return "no-daemon";
        if (!wait_for_place(fd.get(), address)) return "daemon-busy";
    }
    PeerIdentity server;
    if (!read_peer_identity(fd.get(), &server)) return "daemon-not-trusted";
    if (server.uid != 0 && server.uid != geteuid()) return "daemon-not-trusted";
    *out = static_cast<UniqueFd&&>(fd);
    return nullptr;
}

size_t write_request(unsigned char* buffer, size_t capacity, const uint8_t identity[16]) {
    unsigned char attach[64];
    wire::MiniWriter inner(attach, sizeof attach);
    inner.bytes_field(kAttachIdentity, identity, 16);
    inner.varint_field(kAttachFormatVersion, image::kFormatVersion);
    wire::MiniWriter outer(buffer, capacity);
    outer.bytes_field(kRequestAttach, attach, inner.size());
    return outer.size();
}

// How many images the reply names, or -1 if it is not an AttachReply.
int images_in_reply(const unsigned char* data, size_t size) {
    wire::MiniReader reply(data, size);
    int images = -1;
    while (reply.next()) {
        if (reply.field() != kReplyAttach || reply.bytes() == nullptr) continue;
        images = 0;
        wire::MiniReader attach(reply.bytes(), reply.size());
        while (attach.next()) images += attach.field() == kAttachImages;
        if (!attach.ok()) return -1;
    }
    return reply.ok() ? images : -1;
}

const char* wait_for_reply(int socket) {
    // From here on: nothing before this waits, but where many processes want a processor ours may
    // have got none for long.
    const int64_t deadline = now_us() + kDeadlineMs * 1000;
    int on_time = 0;  // rounds that ended when they should
    for (;;) {
        // Looked at once in any case: again, the answer may be there before we are.
        const int64_t asleep = now_us();
        const int patience = asleep < deadline ? kPatienceMs : 0;
        pollfd entry{socket, POLLIN, 0};
        const int ready = poll(&entry, 1, patience);
        if (ready > 0) return nullptr;
        if (ready < 0 && errno != EINTR) return "lost-daemon";
        if (patience == 0) return "deadline";
        if (ready == 0 && now_us() - asleep < patience * 1000 + kOnTimeUs) ++on_time;
        if (on_time == kRounds) return "deadline";
    }
}

}  // namespace

const char* attach(const char* socket_path, const uint8_t identity[16], Attachment* out) {
    UniqueFd socket;
    if (const char* failure = connect_to(socket_path, &socket)) return failure;

    unsigned char request[96];
    const size_t request_size = write_request(request, sizeof request, identity);
    switch (send_message(socket.get(), request, request_size, nullptr, 0)) {
        case IoStatus::kOk: break;
        case IoStatus::kAgain: return "daemon-busy";
        default: return "lost-daemon";
    }
    if (const char* failure = wait_for_reply(socket.get())) return failure;

    unsigned char reply[kReplyCapacity];
    ReceivedMessage message;
    switch (receive_message(socket.get(), reply, sizeof reply, &message)) {
        case IoStatus::kOk: break;
        case IoStatus::kTruncated: return "bad-reply";
        default: return "lost-daemon";
    }
    const int images = images_in_reply(reply, message.size);
    if (images < 0 || static_cast<size_t>(images) != message.fd_count) return "bad-reply";
    if (images == 0) return "no-image";
    for (size_t i = 0; i < message.fd_count; ++i) {
        out->images[i] = static_cast<UniqueFd&&>(message.fds[i]);
    }
    out->count = message.fd_count;
    return nullptr;
}

}  // namespace pycds::link
