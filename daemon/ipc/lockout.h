// Users who may not connect for a while, because they ask too often.
//
// Turning a connection away costs us as much of the processor as making it costs whoever makes it,
// and we go before all others there: somebody who does nothing else could keep half a processor
// from another user. So the kernel turns them away, by an access control list of the socket's file
// (acl(5); unix(7): connect(2) needs write permission for it), which costs us nothing.
//
// One thread.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ipc {

class Lockout {
  public:
    // Of the file of that listening socket. Lets all in whom the daemon before us may have locked
    // out.
    Lockout(boost::asio::io_context& context, int listener);
    Lockout(const Lockout&) = delete;
    Lockout& operator=(const Lockout&) = delete;
    // Lets all in.
    ~Lockout();

    // For so long from now on. Where nobody can be locked out (the file is not ours, or on a file
    // system without such lists, or has a list of somebody else's) or too many are, nothing happens.
    void add(uid_t uid, std::chrono::milliseconds duration);

    void clear();

    // Why nobody can be locked out, if so.
    const Status& possible() const { return possible_; }
    size_t size() const { return until_.size(); }

  private:
    using Clock = std::chrono::steady_clock;

    Status write();
    void wait();
    void on_time();

    UniqueFd file_;     // O_PATH
    std::string name_;  // of file_: no call of libacl's takes a descriptor that only names a file
    Status possible_ = Ok{};
    bool stale_ = false;  // who is out in the file should not be any more
    std::map<uid_t, Clock::time_point> until_;
    boost::asio::steady_timer timer_;
};

}  // namespace pycds::ipc
