#include "daemon/core/build_queue.h"

#include <algorithm>
#include <string>
#include <utility>

namespace pycds::core {
namespace {

// More users than this are not remembered for the order of their builds.
constexpr size_t kMostRemembered = 256;

Error too_many(const std::string& what) {
    return Error{ErrorCode::kUnavailable, what + "; try again later"};
}

}  // namespace

Status BuildQueue::submit(std::shared_ptr<Build> build, uint64_t now_us) {
    const uid_t uid = build->uid();
    const QuotaLimits& limits = accounting_.limits();
    const std::string who = "uid " + std::to_string(uid);
    if (!accounting_.is_administrator(uid) &&
        accounting_.used(uid, Resource::kBuilds) >= limits.builds.of_user) {
        return too_many(std::to_string(limits.builds.of_user) + " builds of " + who +
                        " wait or run already, which is the limit");
    }
    if (!make_room(uid)) {
        return too_many(std::to_string(accounting_.used(Resource::kBuilds)) +
                        " builds wait or run already");
    }
    if (!accounting_.spend_build(uid, now_us)) {
        return too_many(who + " has asked for " + std::to_string(limits.builds_per_minute) +
                        " builds within a minute, which is the limit (user-builds)");
    }
    Charge charge(accounting_, uid, Resource::kBuilds);
    if (!charge.add(1)) return too_many("too many builds wait or run already");
    waiting_.push_back(Entry{std::move(build), std::move(charge)});
    start_waiting();
    return Ok{};
}

bool BuildQueue::make_room(uid_t uid) {
    if (accounting_.is_administrator(uid)) return true;  // as the accounting says
    if (!accounting_.is_full(Resource::kBuilds)) return true;
    const std::optional<uid_t> greediest = accounting_.greediest(Resource::kBuilds);
    if (!greediest || accounting_.used(uid, Resource::kBuilds) + 1 >=
                          accounting_.used(*greediest, Resource::kBuilds)) {
        return false;
    }
    const auto last = std::find_if(waiting_.rbegin(), waiting_.rend(), [&](const Entry& entry) {
        return entry.build->uid() == *greediest;
    });
    if (last == waiting_.rend()) return false;
    const std::shared_ptr<Build> build = std::move(last->build);
    waiting_.erase(std::next(last).base());
    build->turn_away(too_many("too many builds wait, most of them of uid " +
                              std::to_string(*greediest) +
                              "; this one gave way to another user's"));
    return true;
}

bool BuildQueue::may_start(uid_t uid) const {
    const auto administrators =
        std::count_if(running_.begin(), running_.end(), [&](const Entry& entry) {
            return accounting_.is_administrator(entry.build->uid());
        });
    if (accounting_.is_administrator(uid)) return administrators == 0;
    return running_.size() - static_cast<size_t>(administrators) < kUsersAtOnce &&
           running(uid) == 0;
}

// Of those that may start, one of the user whose last start is longest ago; of several builds the
// first that came.
std::deque<BuildQueue::Entry>::iterator BuildQueue::next() {
    auto next = waiting_.end();
    uint64_t longest_ago = 0;
    for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
        if (!may_start(at->build->uid())) continue;
        const auto started = last_start_.find(at->build->uid());
        const uint64_t start = started == last_start_.end() ? 0 : started->second;
        if (next != waiting_.end() && start >= longest_ago) continue;
        next = at;
        longest_ago = start;
    }
    return next;
}

void BuildQueue::start_waiting() {
    for (auto at = next(); at != waiting_.end(); at = next()) {
        const std::shared_ptr<Build> build = at->build;
        running_.push_back(std::move(*at));
        waiting_.erase(at);
        if (last_start_.size() >= kMostRemembered) last_start_.clear();
        last_start_[build->uid()] = ++starts_;
        build->start([this, raw = build.get()](Build::End how) { on_ended(raw, how); });
    }
}

void BuildQueue::on_ended(const Build* build, Build::End how) {
    Activity& activity = accounting_.activity(build->uid());
    if (how == Build::End::kDone) {
        ++done_;
        ++activity.builds_done;
    }
    if (how == Build::End::kFailed) {
        ++failed_;
        ++activity.builds_failed;
    }
    const auto ended = std::find_if(running_.begin(), running_.end(),
                                    [&](const Entry& entry) { return entry.build.get() == build; });
    if (ended != running_.end()) running_.erase(ended);
    start_waiting();
}

size_t BuildQueue::running(uid_t uid) const {
    return static_cast<size_t>(
        std::count_if(running_.begin(), running_.end(),
                      [&](const Entry& entry) { return entry.build->uid() == uid; }));
}

void BuildQueue::cancel_for(const ReplySink& sink) {
    std::erase_if(waiting_, [&](const Entry& entry) { return entry.build->belongs_to(sink); });
    // Ending a build changes running_.
    std::vector<std::shared_ptr<Build>> running;
    for (const Entry& entry : running_) {
        if (entry.build->belongs_to(sink)) running.push_back(entry.build);
    }
    for (const std::shared_ptr<Build>& build : running) build->cancel("who asked for it has gone");
}

void BuildQueue::cancel_all() {
    waiting_.clear();
    std::vector<std::shared_ptr<Build>> running;
    for (const Entry& entry : running_) running.push_back(entry.build);
    for (const std::shared_ptr<Build>& build : running) build->cancel("the daemon is stopping");
}

}  // namespace pycds::core
