#include "ctl/connection.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "src/common/base/text.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/peer_identity.h"
#include "src/common/wire/framing.h"

namespace pycds::ctl {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

bool exists(const std::string& path) {
    struct stat st {};
    return stat(path.c_str(), &st) == 0;
}

Error no_daemon(const std::string& path) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("no daemon answers at {}: start it with 'systemctl start pycdsd' or "
                             "'pycdsd --user'",
                             path)};
}

Error connect_error(const std::string& path, int failure) {
    switch (failure) {
        case EACCES:
        case EPERM:
            return Error{ErrorCode::kPermissionDenied,
                         fmt::format("not allowed to talk to the daemon at {}: {}; who asks too "
                                     "often is locked out for a moment",
                                     path, std::strerror(failure))};
        case EAGAIN:
            return Error{
                ErrorCode::kUnavailable,
                fmt::format("the daemon at {} takes no more connections: try again later", path)};
        default: return no_daemon(path);
    }
}

Result<uid_t> check_peer(int socket, const std::string& path) {
    PeerIdentity peer;
    if (!read_peer_identity(socket, &peer)) {
        return errno_error("cannot see who listens at " + path);
    }
    const uid_t own = geteuid();
    if (peer.uid == 0 || peer.uid == own) return peer.uid;
    std::string who = fmt::format("the daemon at {} runs as uid {}", path, peer.uid);
    if (own != 0) {
        return Error{ErrorCode::kPermissionDenied, who + ", neither root nor you: not trusted"};
    }
    static bool warned = false;  // a command may connect more than once
    if (!warned) fmt::print(stderr, "pycdsctl: warning: {}\n", printable(who));
    warned = true;
    return peer.uid;
}

}  // namespace

std::string choose_socket(const std::string& wanted) {
    if (!wanted.empty()) return wanted;
    if (const char* set = std::getenv("PYCDS_SOCKET"); set != nullptr && *set != '\0') return set;
    if (exists(kSystemSocket)) return kSystemSocket;
    if (const char* run = std::getenv("XDG_RUNTIME_DIR"); run != nullptr && *run != '\0') {
        std::string own = std::string(run) + "/pycds/pycdsd.sock";
        if (exists(own)) return own;
    }
    return kSystemSocket;
}

Result<Connection> Connection::open(const std::string& socket_path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.empty() || socket_path.size() >= sizeof address.sun_path) {
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("'{}' cannot be the path of a socket: it has {} bytes, 1 to {} fit",
                        socket_path, socket_path.size(), sizeof address.sun_path - 1)};
    }
    std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket) return errno_error("cannot make a socket");
    // Connecting waits while the daemon's queue is full (unix(7)); this bounds it, as it bounds
    // each send.
    const timeval limit{.tv_sec = kPatience.count() / 1000, .tv_usec = 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int result = 0;
    do {
        result = connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return connect_error(socket_path, errno);
    const Result<uid_t> trusted = check_peer(socket.get(), socket_path);
    if (!trusted) return trusted.error();
    return Connection(std::move(socket), socket_path, *trusted);
}

Error Connection::unexpected() const {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("what answers at {} is no pycdsd of this version: compare "
                             "'pycdsctl --version' and 'pycdsd --version'",
                             path_)};
}

Status Connection::wait_for(short events, milliseconds patience,
                            const std::function<void()>& tick) {
    const Clock::time_point deadline = Clock::now() + patience;
    pollfd ready{socket_.get(), events, 0};
    for (;;) {
        const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) {
            return Error{ErrorCode::kUnavailable,
                         fmt::format("the daemon at {} has not answered for {} s: see its log",
                                     path_, patience.count() / 1000)};
        }
        const int step = static_cast<int>(std::min<milliseconds::rep>(left.count(), 100));
        const int n = poll(&ready, 1, tick ? step : static_cast<int>(left.count()));
        if (n > 0) return Ok{};
        if (n < 0 && errno != EINTR) return errno_error("cannot wait for the daemon");
        if (tick) tick();
    }
}

Status Connection::send(const std::string& packet, int fd, milliseconds patience) {
    if (packet.size() > wire::kMaxMessageSize) {
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("the request takes {} bytes, more than the {} that a message holds",
                        packet.size(), wire::kMaxMessageSize)};
    }
    for (;;) {
        switch (send_message(socket_.get(), packet.data(), packet.size(), &fd, fd >= 0 ? 1 : 0,
                             MSG_DONTWAIT)) {
            case IoStatus::kOk: return Ok{};
            case IoStatus::kClosed: return no_daemon(path_);
            case IoStatus::kAgain: break;
            default:
                // Of some the daemon takes no descriptors (SO_PASSRIGHTS). It says itself of whom.
                if (errno == EPERM && fd >= 0) {
                    fd = -1;
                    continue;
                }
                return errno_error("cannot send to the daemon at " + path_);
        }
        Status ready = wait_for(POLLOUT, patience, {});
        if (!ready) return ready;
    }
}

Result<Answer> Connection::receive(const Options& options) {
    alignas(8) char buffer[wire::kMaxMessageSize];
    for (;;) {
        ReceivedMessage message;
        switch (receive_message(socket_.get(), buffer, sizeof buffer, &message, MSG_DONTWAIT)) {
            case IoStatus::kOk: {
                Result<wire::Reply> reply =
                    wire::decode_reply(std::as_bytes(std::span<const char>(buffer, message.size)));
                if (!reply) return unexpected();
                Answer answer{std::move(*reply), {}};
                for (size_t i = 0; i < message.fd_count; ++i) {
                    answer.fds.push_back(std::move(message.fds[i]));
                }
                return answer;
            }
            case IoStatus::kAgain: break;
            case IoStatus::kClosed:
                return Error{ErrorCode::kUnavailable,
                             fmt::format("the daemon at {} went away before it had answered: see "
                                         "its log",
                                         path_)};
            case IoStatus::kTruncated: return unexpected();
            case IoStatus::kError: return errno_error("cannot hear the daemon at " + path_);
        }
        Status ready = wait_for(POLLIN, options.patience, options.tick);
        if (!ready) return ready.error();
    }
}

Result<Answer> Connection::call(const wire::Request& request, const Options& options) {
    Status sent = send(wire::encode(request), options.fd, options.patience);
    if (!sent) return sent.error();
    for (;;) {
        Result<Answer> answer = receive(options);
        if (!answer) return answer;
        if (Error* error = std::get_if<Error>(&answer->reply)) return std::move(*error);
        if (std::holds_alternative<wire::SourcesReply>(answer->reply)) {
            if (!options.on_sources || answer->fds.size() != 1) return unexpected();
            options.on_sources(std::move(answer->fds[0]));
            continue;
        }
        const auto* progress = std::get_if<wire::BuildProgress>(&answer->reply);
        if (progress == nullptr) return answer;
        if (options.on_progress) options.on_progress(*progress);
    }
}

}  // namespace pycds::ctl
