// An event loop whose timers a test lets expire.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "daemon/core/event_loop.h"

namespace pycds::fakes {

class FakeLoop final : public core::EventLoop {
  public:
    std::unique_ptr<core::Watch> watch_readable(int, std::function<void()>) override {
        return std::make_unique<Alive>(std::make_shared<bool>(true));
    }

    std::unique_ptr<core::Watch> call_after(std::chrono::milliseconds delay,
                                            std::function<void()> expired) override {
        auto alive = std::make_shared<bool>(true);
        timers_.push_back({delay, std::move(expired), alive});
        return std::make_unique<Alive>(alive);
    }

    // The delay of the one timer that waits; -1 if none or several do.
    long waiting_ms() const {
        long out = -1;
        for (const Timer& timer : timers_) {
            if (!*timer.alive) continue;
            if (out >= 0) return -1;
            out = static_cast<long>(timer.delay.count());
        }
        return out;
    }

    // Lets all timers expire that wait now.
    void expire() {
        for (Timer& timer : std::exchange(timers_, {})) {
            if (*timer.alive) timer.expired();
        }
    }

    // Lets the one expire that has the least to wait.
    void expire_next() {
        const auto next =
            std::min_element(timers_.begin(), timers_.end(), [](const Timer& a, const Timer& b) {
                return *a.alive != *b.alive ? *a.alive : a.delay < b.delay;
            });
        if (next == timers_.end() || !*next->alive) return;
        const std::function<void()> expired = next->expired;
        timers_.erase(next);
        expired();
    }

  private:
    class Alive final : public core::Watch {
      public:
        explicit Alive(std::shared_ptr<bool> alive) : alive_(std::move(alive)) {}
        Alive(const Alive&) = delete;
        Alive& operator=(const Alive&) = delete;
        ~Alive() override { *alive_ = false; }

      private:
        std::shared_ptr<bool> alive_;
    };
    struct Timer {
        std::chrono::milliseconds delay;
        std::function<void()> expired;
        std::shared_ptr<bool> alive;
    };
    std::vector<Timer> timers_;
};

}  // namespace pycds::fakes
