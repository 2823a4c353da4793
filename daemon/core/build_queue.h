// Decides which build runs when. How many there are is the accounting's: each is charged to the uid
// that asked for it as long as it waits or runs. One of an administrator's (accounting.h) runs
// beside one of each of a few other users, so that nobody waits for another who takes all the time
// that a build may take; if more users wait, they take turns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "daemon/core/accounting.h"
#include "daemon/core/build.h"

namespace pycds::core {

class BuildQueue {
  public:
    // Of users who are no administrators.
    static constexpr size_t kUsersAtOnce = 4;

    explicit BuildQueue(Accounting& accounting) : accounting_(accounting) {}
    BuildQueue(const BuildQueue&) = delete;
    BuildQueue& operator=(const BuildQueue&) = delete;

    // Starts the build or lets it wait; kUnavailable, with whose limit it is, if it may not. If
    // there are too many in all, one that waits goes, of the user with most builds, unless that is
    // who asks: it fails, and who asked for it is told.
    Status submit(std::shared_ptr<Build> build, uint64_t now_us);

    // Cancels what was asked for on this connection, running or waiting.
    void cancel_for(const ReplySink& sink);

    // For the shutdown.
    void cancel_all();

    size_t running() const { return running_.size(); }
    size_t running(uid_t uid) const;
    uint64_t done() const { return done_; }
    uint64_t failed() const { return failed_; }  // cancelled ones are neither

  private:
    struct Entry {
        std::shared_ptr<Build> build;
        Charge charge;
    };

    bool make_room(uid_t uid);
    void start_waiting();
    std::deque<Entry>::iterator next();
    bool may_start(uid_t uid) const;
    void on_ended(const Build* build, Build::End how);

    Accounting& accounting_;
    std::vector<Entry> running_;
    std::deque<Entry> waiting_;
    uint64_t starts_ = 0;
    std::unordered_map<uid_t, uint64_t>
        last_start_;  // by the number of the start; of who waits or ran last
    uint64_t done_ = 0;
    uint64_t failed_ = 0;
};

}  // namespace pycds::core
