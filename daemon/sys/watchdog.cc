#include "daemon/sys/watchdog.h"

#include <algorithm>
#include <utility>

namespace pycds::sys {

Watchdog::Watchdog(core::EventLoop& loop, core::Worker& worker, std::chrono::microseconds interval,
                   std::function<void()> alive)
    : loop_(loop),
      worker_(worker),
      pause_(std::max(std::chrono::duration_cast<std::chrono::milliseconds>(interval / 2),
                      std::chrono::milliseconds(1))),
      alive_(std::move(alive)) {
    ask();
}

void Watchdog::ask() {
    worker_.post([] {},
                 [this] {
                     alive_();
                     // Counted from the answer: a worker that is busy is not asked again meanwhile.
                     timer_ = loop_.call_after(pause_, [this] { ask(); });
                 });
}

}  // namespace pycds::sys
