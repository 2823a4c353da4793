#include "daemon/core/discovery.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "src/common/base/event.h"
#include "src/common/base/log.h"
#include "src/common/base/text.h"
#include "src/common/image/checksum.h"

namespace pycds::core {
namespace {

// An image has about three times the bytes of the .pyc files that it is made from, and while it is
// made the old one is there too.
constexpr uint64_t kImageBytesPerPycByte = 4;

// Fewer directories than the kernel lets a user watch on any machine (inotify(7)).
constexpr size_t kMaxDirectories = 6000;

constexpr uint64_t kLongestRetryMs = uint64_t{24} * 3600 * 1000;

// The same files may make an image another time: there was no memory or no room, or the machine was
// too busy.
bool may_work_later(ErrorCode code) {
    return code == ErrorCode::kBuildFailed || code == ErrorCode::kUnavailable ||
           code == ErrorCode::kSystem;
}

uint64_t interpreter_hash(const std::string& path) {
    // 0 stands for none.
    return image::path_hash(path.data(), path.size()) | 1;
}

}  // namespace

// What the build tells when it ends.
class Discovery::Sink final : public ReplySink {
  public:
    explicit Sink(Discovery& discovery) : discovery_(discovery) {}
    void progress(const wire::BuildProgress&) override {}
    void sources_wanted(UniqueFd) override {}
    void finish(Reply reply) override {
        const auto* error = std::get_if<Error>(&reply.message);
        discovery_.on_built(error == nullptr ? Status(Ok{}) : Status(*error));
    }

  private:
    Discovery& discovery_;
};

Discovery::Discovery(const DiscoveryDependencies& dependencies, DiscoveryOptions options)
    : on_(dependencies), options_(std::move(options)) {}

Discovery::~Discovery() {
    *alive_ = false;
}

void Discovery::set_options(DiscoveryOptions options) {
    options_ = std::move(options);
}

void Discovery::look() {
    failed_.clear();
    reported_.clear();
    retry_at_ms_ = 0;
    retry_delay_ms_ = 0;
    if (looking_) {
        again_ = true;
        return;
    }
    begin();
}

void Discovery::on_change() {
    if (!options_.enabled) return;
    if (first_change_ms_ == 0) first_change_ms_ = on_.clock.monotonic_ms();
    if (looking_) {
        again_ = true;
        return;
    }
    arm();
}

void Discovery::arm() {
    const uint64_t now = on_.clock.monotonic_ms();
    const auto patience = static_cast<uint64_t>(options_.patience.count());
    const auto quiet = static_cast<uint64_t>(options_.quiet.count());
    const uint64_t latest = first_change_ms_ + patience;
    // Whoever changes files all the time does not keep us looking all the time.
    const uint64_t earliest = last_look_ms_ == 0 ? 0 : last_look_ms_ + patience;
    const uint64_t when = std::max(std::min(now + quiet, latest), earliest);
    timer_ = on_.loop.call_after(std::chrono::milliseconds(when > now ? when - now : 0), [this] {
        timer_.reset();
        begin();
    });
}

void Discovery::begin() {
    timer_.reset();
    retry_timer_.reset();
    failed_for_now_ = false;
    first_change_ms_ = 0;
    again_ = false;
    if (!options_.enabled) return;
    looking_ = true;
    at_ = 0;
    directories_.clear();
    auto found = std::make_shared<Found>();
    on_.worker.post(
        [found, &finder = on_.finder, &policy = on_.policy, configured = options_.interpreters] {
            // Whoever can change an interpreter decides what it does when it is run: the policy is
            // asked before that.
            for (std::string& path : finder.find(configured)) {
                const auto allowed = policy.place_sources(PeerIdentity{0, 0, 0}, path, {});
                if (allowed) {
                    found->interpreters.push_back(std::move(path));
                } else {
                    found->refused.push_back(allowed.error());
                }
            }
        },
        [this, alive = alive_, found] {
            if (*alive) on_found(std::move(*found));
        });
}

void Discovery::on_found(Found found) {
    found_ = std::move(found.interpreters);
    for (const Error& error : found.refused) report(error);
    for (const std::string& path : found_) {
        on_.service.note_interpreter(path);
        if (!known_.try_emplace(interpreter_hash(path), path).second) continue;
        log_event(Event::kInterpreterFound, "found the interpreter " + printable(path),
                  {{field::kPython, path}});
    }
    drop_images_of_gone();
    next();
}

void Discovery::report(const Error& error) {
    const std::string text = "no image: " + printable(error.message);
    if (reported_.insert(text).second) log_notice(text);
}

void Discovery::drop_images_of_gone() {
    std::set<uint64_t> there;
    for (const std::string& path : found_) there.insert(interpreter_hash(path));
    const size_t dropped = on_.service.images().drop_if([&](const StoredImage& image) {
        if (!image.origin.by_itself() || there.contains(image.origin.interpreter)) return false;
        // Of one that was never seen by this process only the version is known.
        const auto known = known_.find(image.origin.interpreter);
        const std::string python =
            known != known_.end() ? known->second : "Python " + short_version(image.info.python);
        log_event(Event::kInterpreterGone,
                  image.info.id + " dropped: its interpreter, " + printable(python) + ", is gone",
                  {{field::kPython, python}, {field::kReason, "not found any more"}});
        return true;
    });
    std::erase_if(known_, [&](const auto& entry) { return !there.contains(entry.first); });
    // There is room, or it was the other one of the same build.
    if (dropped != 0) failed_.clear();
}

void Discovery::next() {
    if (at_ == found_.size()) return end();
    const std::string& python = found_[at_];
    origin_ = Origin{interpreter_hash(python), 0};
    // Plain `this`: the planner is destroyed with us and calls nobody after that.
    Result<std::unique_ptr<RunningBuilder>> planner = on_.launcher.launch_planner(
        PlannerJob{python, options_.image_budget / kImageBytesPerPycByte},
        BuilderCallbacks{[](uint32_t, uint32_t) {},
                         [this](Result<UniqueFd> output) { on_plan(std::move(output)); }});
    if (!planner) {
        on_built(planner.error());
        return;
    }
    planner_ = std::move(*planner);
}

void Discovery::on_plan(Result<UniqueFd> output) {
    planner_.reset();
    if (!output) return on_built(output.error());
    auto fd = std::make_shared<UniqueFd>(std::move(*output));
    auto plan = std::make_shared<std::optional<Result<SystemPlan>>>();
    on_.worker.post([fd, plan] { plan->emplace(read_system_plan(fd->get())); },
                    [this, alive = alive_, plan] {
                        if (*alive) on_read(std::move(**plan));
                    });
}

void Discovery::on_read(Result<SystemPlan> plan) {
    if (!plan) return on_built(plan.error());
    directories_.insert(plan->directories.begin(), plan->directories.end());
    origin_.fingerprint = plan->fingerprint;
    const auto failed = failed_.find(origin_.interpreter);
    const bool failed_before =
        failed != failed_.end() && failed->second.fingerprint == origin_.fingerprint;
    const bool current = is_current(origin_);
    if (current || failed_before) {
        if (!current && failed->second.for_now) failed_for_now_ = true;
        ++at_;
        return next();
    }
    sink_ = std::make_shared<Sink>(*this);
    const Status accepted =
        on_.service.build_by_itself(found_[at_], std::move(plan->plan), origin_, sink_);
    if (!accepted) on_built(accepted);
}

bool Discovery::is_current(Origin origin) const {
    const std::vector<const StoredImage*> images = on_.service.images().all();
    return std::any_of(images.begin(), images.end(),
                       [&](const StoredImage* image) { return image->origin == origin; });
}

void Discovery::on_built(const Status& status) {
    sink_.reset();
    if (!status) {
        const bool for_now = may_work_later(status.error().code);
        if (for_now) failed_for_now_ = true;
        if (origin_.fingerprint != 0) failed_[origin_.interpreter] = {origin_.fingerprint, for_now};
        report(Error{status.error().code, found_[at_] + ": " + status.error().message});
    }
    ++at_;
    next();
}

void Discovery::end() {
    looking_ = false;
    last_look_ms_ = on_.clock.monotonic_ms();
    for (std::string& directory : on_.finder.directories()) directories_.insert(directory);
    // What is linked from there, and what is configured, may be anywhere; or nowhere yet.
    for (const auto* interpreters : {&found_, &options_.interpreters}) {
        for (const std::string& path : *interpreters) {
            directories_.insert(path.substr(0, std::max<size_t>(path.rfind('/'), 1)));
        }
    }
    if (watcher_ != nullptr) {
        std::vector<std::string> directories(directories_.begin(), directories_.end());
        if (directories.size() > kMaxDirectories) {
            // Packages' own directories rather than those deep inside: there every upgrade shows.
            std::stable_sort(directories.begin(), directories.end(),
                             [](const auto& a, const auto& b) { return a.size() < b.size(); });
            directories.resize(kMaxDirectories);
        }
        // What changed between this look and the watch nobody has seen.
        if (watcher_->watch(directories)) return begin();
    }
    if (again_) {
        again_ = false;
        if (first_change_ms_ == 0) return begin();
        arm();
    }
    arm_retry();
}

void Discovery::arm_retry() {
    if (!failed_for_now_) {
        retry_at_ms_ = 0;
        retry_delay_ms_ = 0;
        return;
    }
    const uint64_t now = on_.clock.monotonic_ms();
    if (retry_at_ms_ == 0) {
        const auto first = static_cast<uint64_t>(options_.retry.count());
        retry_delay_ms_ =
            std::min(std::max(first, retry_delay_ms_ * 2), std::max(first, kLongestRetryMs));
        retry_at_ms_ = now + retry_delay_ms_;
    }
    // Looks for other reasons, which come in between, do not put it off.
    const uint64_t left = retry_at_ms_ > now ? retry_at_ms_ - now : 0;
    retry_timer_ = on_.loop.call_after(std::chrono::milliseconds(left), [this] {
        retry_timer_.reset();
        retry_at_ms_ = 0;
        std::erase_if(failed_, [](const auto& entry) { return entry.second.for_now; });
        begin();
    });
}

}  // namespace pycds::core
