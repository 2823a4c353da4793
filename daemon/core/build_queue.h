// Decides which build runs when: so many at a time, the others in order, no more than so many
// waiting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "daemon/core/build.h"

namespace pycds::core {

struct BuildLimits {
    size_t max_running = 1;
    size_t max_waiting = 8;
};

class BuildQueue {
  public:
    explicit BuildQueue(BuildLimits limits) : limits_(limits) {}
    BuildQueue(const BuildQueue&) = delete;
    BuildQueue& operator=(const BuildQueue&) = delete;

    // Starts the build or lets it wait; kUnavailable if too many wait.
    Status submit(std::shared_ptr<Build> build);

    // Cancels what was asked for on this connection, running or waiting.
    void cancel_for(const ReplySink& sink);

    // For the shutdown.
    void cancel_all();

    size_t running() const { return running_.size(); }
    uint64_t done() const { return done_; }
    uint64_t failed() const { return failed_; }  // cancelled ones are neither

  private:
    void start_waiting();
    void on_ended(const Build* build, Build::End how);

    const BuildLimits limits_;
    std::vector<std::shared_ptr<Build>> running_;
    std::deque<std::shared_ptr<Build>> waiting_;
    uint64_t done_ = 0;
    uint64_t failed_ = 0;
};

}  // namespace pycds::core
