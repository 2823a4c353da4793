// Builders that nobody wants any more: killed, and waited for when they have ended. To end can take
// a process a while, if it has much memory to give back or much in its sockets, and the loop has
// others to answer.
#pragma once

#include <list>
#include <memory>

#include "daemon/build/spawn.h"
#include "daemon/core/event_loop.h"

namespace pycds::build {

class Reaper {
  public:
    explicit Reaper(core::EventLoop& loop) : loop_(loop) {}
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;

    // A child that has not been waited for. It gets SIGKILL now.
    void take(SpawnedProcess process);

    size_t size() const { return dying_.size(); }

  private:
    struct Dying {
        SpawnedProcess process;
        std::unique_ptr<core::Watch> watch;
    };

    core::EventLoop& loop_;
    std::list<Dying> dying_;
};

// SIGKILL to the process group, which is the process's own; its number cannot be anybody else's
// before it is waited for.
void kill_group(pid_t pid);

}  // namespace pycds::build
