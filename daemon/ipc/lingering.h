// Sockets of connections that are over, but whose peers have not read what they were sent.
//
// What lies unread in a peer's queue stays there when we close our end: descriptors that the kernel
// counts as on their way from our uid (unix(7), ETOOMANYREFS), and memory. A peer that asks, does
// not read and comes again would collect both, beyond any limit that ends with the connection. Our
// end is the only thing that tells how much is left (SIOCOUTQ), so it stays open, and the peer's
// uid charged, until the peer has read all or is gone itself. The kernel wakes us then: there is no
// timer.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

#include "daemon/core/accounting.h"
#include "daemon/core/event_loop.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ipc {

// Has the peer left something unread that was sent on `socket`?
bool has_unread(int socket);

class Lingering {
  public:
    explicit Lingering(core::EventLoop& loop);
    Lingering(const Lingering&) = delete;
    Lingering& operator=(const Lingering&) = delete;

    // The socket is shut down already.
    void add(UniqueFd socket, core::Charge descriptors, core::Charge bytes);

    void clear() { sockets_.clear(); }
    size_t size() const { return sockets_.size(); }

  private:
    struct Socket {
        UniqueFd fd;
        core::Charge descriptors;
        core::Charge bytes;
    };

    void on_events();

    UniqueFd
        epoll_;  // of edges: the loop's own would find a socket that is shut down ready for ever
    std::unordered_map<int, Socket> sockets_;
    std::unique_ptr<core::Watch> watch_;
};

}  // namespace pycds::ipc
