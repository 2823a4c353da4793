#include "daemon/core/build_queue.h"

#include <algorithm>
#include <string>
#include <utility>

namespace pycds::core {

Status BuildQueue::submit(std::shared_ptr<Build> build) {
    if (running_.size() >= limits_.max_running && waiting_.size() >= limits_.max_waiting) {
        return Error{ErrorCode::kUnavailable,
                     std::to_string(waiting_.size()) + " builds wait already; try again later"};
    }
    waiting_.push_back(std::move(build));
    start_waiting();
    return Ok{};
}

void BuildQueue::start_waiting() {
    while (!waiting_.empty() && running_.size() < limits_.max_running) {
        std::shared_ptr<Build> build = std::move(waiting_.front());
        waiting_.pop_front();
        running_.push_back(build);
        build->start([this, raw = build.get()](Build::End how) { on_ended(raw, how); });
    }
}

void BuildQueue::on_ended(const Build* build, Build::End how) {
    if (how == Build::End::kDone) ++done_;
    if (how == Build::End::kFailed) ++failed_;
    std::erase_if(running_, [&](const auto& entry) { return entry.get() == build; });
    start_waiting();
}

void BuildQueue::cancel_for(const ReplySink& sink) {
    std::erase_if(waiting_, [&](const auto& build) { return build->belongs_to(sink); });
    // Ending a build changes running_.
    const std::vector<std::shared_ptr<Build>> running = running_;
    for (const std::shared_ptr<Build>& build : running) {
        if (build->belongs_to(sink)) build->cancel("who asked for it has gone");
    }
}

void BuildQueue::cancel_all() {
    waiting_.clear();
    const std::vector<std::shared_ptr<Build>> running = running_;
    for (const std::shared_ptr<Build>& build : running) build->cancel("the daemon is stopping");
}

}  // namespace pycds::core
