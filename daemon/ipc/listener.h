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
};

// A listening socket in the file system, removed with its owner.
class Listener {
  public:
    // Takes the place of a socket file that nobody answers on any more. kUnavailable if another
    // daemon answers there.
    static Result<Listener> open(const ListenerOptions& options);

    // A socket that somebody else made and will remove (socket activation).
    static Listener adopt(UniqueFd fd);

    Listener(Listener&& other) noexcept
        : fd_(std::move(other.fd_)),
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
    std::string path_;
    bool ours_ = false;
    dev_t device_ = 0;  // of the socket file that we made
    ino_t inode_ = 0;
};

}  // namespace pycds::ipc
