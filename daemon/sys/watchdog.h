// Says that the daemon lives as long as it does its work: the event loop and the worker both.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "daemon/core/event_loop.h"
#include "daemon/core/worker.h"

namespace pycds::sys {

class Watchdog {
  public:
    // Calls `alive` at once and then every half `interval`, each time that a piece of work has gone
    // to the worker and come back. Work that takes longer than `interval` keeps it from doing so.
    // Both outlive it; destroy it only after the loop has stopped.
    Watchdog(core::EventLoop& loop, core::Worker& worker, std::chrono::microseconds interval,
             std::function<void()> alive);
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

  private:
    void ask();

    core::EventLoop& loop_;
    core::Worker& worker_;
    const std::chrono::milliseconds pause_;
    const std::function<void()> alive_;
    std::unique_ptr<core::Watch> timer_;
};

}  // namespace pycds::sys
