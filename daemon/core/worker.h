// A thread for what would hold up the answers to everybody else: reading a file of a peer's,
// looking at thousands of paths, validating hundreds of megabytes.
#pragma once

#include <functional>

namespace pycds::core {

class Worker {
  public:
    virtual ~Worker() = default;
    // Runs `work` on the worker's thread, one after the other in the order of posting, and then
    // `done` on the thread that called post(). Neither throws. `done` is never called from inside
    // post(), and not at all once the event loop has stopped. Because of the latter `work` must
    // not refer to anything that dies before the worker.
    virtual void post(std::function<void()> work, std::function<void()> done) = 0;
};

}  // namespace pycds::core
