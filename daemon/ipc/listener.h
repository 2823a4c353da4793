// The socket that the daemon listens on.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ipc {

struct ListenerOptions {
    std::string path;              // at most 107 bytes, the kernel's limit
    mode_t mode = 0600;            // of the socket
    mode_t directory_mode = 0700;  // of its directory, if that has to be made
    // Becomes readable when the daemon is to stop: open() gives up waiting then.
    int stop_fd = -1;
};

// The path of a Unix socket's file, empty if it has none.
std::string path_of_socket(int socket);

// A listening socket in the file system, removed with its owner, and beside it PATH.lock, which is
// locked as long as the owner lives: two daemons that start at once must not both take the socket
// of the other, bound but not yet listening, for a stale one. The file is nobody else's, so that
// nobody else can hold the lock.
class Listener {
  public:
    // Takes the place of a socket file that nobody answers on any more. kUnavailable if another
    // daemon answers there.
    static Result<Listener> open(const ListenerOptions& options);

    // A socket that somebody else made and will remove (socket activation).
    static Listener adopt(UniqueFd fd);

    Listener(Listener&& other) noexcept
        : fd_(std::move(other.fd_)),
          lock_(std::move(other.lock_)),
          lock_path_(std::move(other.lock_path_)),
          path_(std::move(other.path_)),
          ours_(std::exchange(other.ours_, false)),
          device_(other.device_),
          inode_(other.inode_) {}
    Listener& operator=(Listener&& other) = delete;
    ~Listener();

    int fd() const { return fd_.get(); }
    const std::string& path() const { return path_; }

  private:
    Listener() = default;

    UniqueFd fd_;
    UniqueFd lock_;
    std::string lock_path_;
    std::string path_;
    bool ours_ = false;
    dev_t device_ = 0;  // of the socket file that we made
    ino_t inode_ = 0;
};

}  // namespace pycds::ipc
