#include "daemon/ipc/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace pycds::ipc {
namespace {

// The kernel lowers it to net.core.somaxconn. As in systemd/pycdsd.socket.
constexpr int kBacklog = 4096;
constexpr int kLockRetryMs = 20;
constexpr int kLockPatienceMs = 2000;

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.front() != '/') {
        return Error{ErrorCode::kInvalidArgument,
                     "the path of the socket is not absolute: " + path};
    }
    if (path.size() >= sizeof address.sun_path) {
        return Error{ErrorCode::kInvalidArgument,
                     "the path of the socket has " + std::to_string(path.size()) +
                         " bytes, the kernel's limit is " +
                         std::to_string(sizeof address.sun_path - 1) + ": " + path};
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

Result<UniqueFd> make_socket() {
    UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return errno_error("cannot make a socket");
    return fd;
}

// Makes the directory and those above it that are missing.
Status make_directories(const std::string& directory, mode_t mode) {
    for (size_t at = 1; at != std::string::npos;) {
        at = directory.find('/', at);
        const std::string prefix = directory.substr(0, at);
        if (at != std::string::npos) ++at;
        if (mkdir(prefix.c_str(), mode) == 0) {
            // Whatever the umask was.
            if (chmod(prefix.c_str(), mode) != 0) return errno_error("cannot set up " + prefix);
        } else if (errno != EEXIST) {
            return errno_error("cannot make the directory " + prefix);
        }
    }
    return Ok{};
}

// A full backlog (EAGAIN) is a live daemon too.
bool answers(const sockaddr_un& address) {
    const Result<UniqueFd> probe = make_socket();
    return probe &&
           (connect(probe->get(), generic(address), sizeof address) == 0 || errno == EAGAIN);
}

Error another_answers(const std::string& path) {
    return Error{ErrorCode::kUnavailable, "another daemon answers at " + path};
}

Result<UniqueFd> open_lock_file(const std::string& file) {
    UniqueFd fd(::open(file.c_str(), O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return errno_error("cannot open the lock file " + file);
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) return errno_error("cannot look at the lock file " + file);
    if (st.st_uid != geteuid() || !S_ISREG(st.st_mode)) {
        return Error{ErrorCode::kPermissionDenied, "the lock file " + file +
                                                       " is not a file of uid " +
                                                       std::to_string(geteuid()) + "'s own"};
    }
    return fd;
}

// Who ends removes the file: what we have locked may be one that nobody finds any more.
bool is_still_at(const std::string& file, int fd) {
    struct stat open {};
    struct stat found {};
    return fstat(fd, &open) == 0 && lstat(file.c_str(), &found) == 0 &&
           open.st_dev == found.st_dev && open.st_ino == found.st_ino;
}

// Waits a little; false if the daemon is to stop.
bool pause(int stop_fd) {
    pollfd stop{stop_fd, POLLIN, 0};
    return poll(&stop, 1, kLockRetryMs) <= 0;
}

// The lock of the socket at `path`, held as long as the descriptor is open.
Result<UniqueFd> lock_socket(const std::string& file, const std::string& path,
                             const sockaddr_un& address, int stop_fd) {
    for (int waited_ms = 0;; waited_ms += kLockRetryMs) {
        Result<UniqueFd> fd = open_lock_file(file);
        if (!fd) return fd.error();
        if (flock(fd->get(), LOCK_EX | LOCK_NB) == 0) {
            if (is_still_at(file, fd->get())) return fd;
        } else if (errno != EWOULDBLOCK && errno != EINTR) {
            return errno_error("cannot lock " + file);
        } else if (answers(address)) {
            return another_answers(path);
        }
        if (waited_ms >= kLockPatienceMs) {
            return Error{ErrorCode::kUnavailable,
                         "another daemon that starts or ends holds the lock file " + file};
        }
        if (!pause(stop_fd)) {
            return Error{ErrorCode::kUnavailable, "stopped while it waited for " + file};
        }
    }
}

// Removes the socket file at `path` if nobody listens on it.
Status remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) {
        if (errno == ENOENT) return Ok{};
        return errno_error("cannot look at " + path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return Error{ErrorCode::kInvalidArgument, path + " exists and is not a socket"};
    }
    const Result<UniqueFd> probe = make_socket();
    if (!probe) return probe.error();
    // A full backlog (EAGAIN) is a live daemon too; another type of socket (EPROTOTYPE) is
    // somebody else's.
    if (connect(probe->get(), generic(address), sizeof address) == 0 || errno == EAGAIN) {
        return another_answers(path);
    }
    if (errno != ECONNREFUSED) return errno_error("cannot take over the socket " + path);
    if (unlink(path.c_str()) != 0) return errno_error("cannot remove the stale socket " + path);
    return Ok{};
}

}  // namespace

Result<Listener> Listener::open(const ListenerOptions& options) {
    const Result<sockaddr_un> address = address_of(options.path);
    if (!address) return address.error();
    const size_t slash = options.path.rfind('/');
    const std::string directory = slash == 0 ? "/" : options.path.substr(0, slash);
    const Status made = make_directories(directory, options.directory_mode);
    if (!made) return made.error();
    const std::string lock_path = options.path + ".lock";
    Result<UniqueFd> lock = lock_socket(lock_path, options.path, *address, options.stop_fd);
    if (!lock) return lock.error();
    Listener listener;
    listener.lock_ = std::move(*lock);
    listener.lock_path_ = lock_path;
    const Status removed = remove_stale(options.path, *address);
    if (!removed) return removed.error();

    Result<UniqueFd> fd = make_socket();
    if (!fd) return fd.error();
    // The mode of the file comes from the socket's own (unix(7)), so that it is at no moment more
    // open than it should be. The umask may have taken bits off: they come back after.
    if (fchmod(fd->get(), options.mode) != 0) return errno_error("cannot set up a socket");
    if (bind(fd->get(), generic(*address), sizeof *address) != 0) {
        return errno_error("cannot bind a socket to " + options.path);
    }
    listener.path_ = options.path;
    struct stat st {};
    if (lstat(options.path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) {
        listener.device_ = st.st_dev;
        listener.inode_ = st.st_ino;
        listener.ours_ = true;
    }
    if (chmod(options.path.c_str(), options.mode) != 0) {
        return errno_error("cannot set the mode of " + options.path);
    }
    if (listen(fd->get(), kBacklog) != 0) return errno_error("cannot listen on " + options.path);
    listener.fd_ = std::move(*fd);
    return listener;
}

std::string path_of_socket(int socket) {
    sockaddr_un address{};
    socklen_t size = sizeof address;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        size <= offsetof(sockaddr_un, sun_path)) {
        return std::string();
    }
    return std::string(address.sun_path, strnlen(address.sun_path, sizeof address.sun_path));
}

Listener Listener::adopt(UniqueFd fd) {
    Listener listener;
    listener.path_ = path_of_socket(fd.get());
    listener.fd_ = std::move(fd);
    return listener;
}

Listener::~Listener() {
    struct stat st {};
    // Somebody may have put another in its place.
    if (ours_ && lstat(path_.c_str(), &st) == 0 && st.st_dev == device_ && st.st_ino == inode_) {
        unlink(path_.c_str());
    }
    if (lock_ && is_still_at(lock_path_, lock_.get())) unlink(lock_path_.c_str());
}

}  // namespace pycds::ipc
