// A worker without a thread: a test decides when its work is done.
#pragma once

#include <deque>
#include <functional>
#include <utility>

#include "daemon/core/worker.h"

namespace pycds::fakes {

class FakeWorker final : public core::Worker {
  public:
    void post(std::function<void()> work, std::function<void()> done) override {
        jobs_.emplace_back(std::move(work), std::move(done));
    }

    // Does one piece of work and its `done`; false if there is none.
    bool run_one() {
        if (jobs_.empty()) return false;
        auto [work, done] = std::move(jobs_.front());
        jobs_.pop_front();
        work();
        done();
        return true;
    }

    void run_all() {
        while (run_one()) {
        }
    }

  private:
    std::deque<std::pair<std::function<void()>, std::function<void()>>> jobs_;
};

}  // namespace pycds::fakes
