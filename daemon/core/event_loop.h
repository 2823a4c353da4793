// What the daemon needs of an event loop, so that only daemon/ipc knows which one it is.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace pycds::core {

// Something that the event loop does for its owner until it is destroyed. May be destroyed inside
// its own callback.
class Watch {
  public:
    virtual ~Watch() = default;
};

class EventLoop {
  public:
    virtual ~EventLoop() = default;

    // Calls `ready` each time the loop finds `fd` readable (or hung up) until the watch is
    // destroyed. The descriptor stays the caller's and must outlive the watch.
    virtual std::unique_ptr<Watch> watch_readable(int fd, std::function<void()> ready) = 0;

    // Calls `expired` once, unless the watch is destroyed before.
    virtual std::unique_ptr<Watch> call_after(std::chrono::milliseconds delay,
                                              std::function<void()> expired) = 0;
};

}  // namespace pycds::core
