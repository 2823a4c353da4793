#include "daemon/core/build.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "src/common/base/event.h"
#include "src/common/base/log.h"
#include "src/common/base/text.h"
#include "src/common/image/format.h"

namespace pycds::core {
namespace {

// A progress bar needs no more, and a builder that reports every module must not fill the socket.
constexpr uint64_t kProgressIntervalMs = 100;

std::string one_decimal(uint64_t tenths) {
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

void add_counts(const std::vector<wire::LeftOutCount>& from, std::vector<wire::LeftOutCount>* to) {
    for (const wire::LeftOutCount& count : from) {
        const auto same = std::find_if(to->begin(), to->end(), [&](const auto& entry) {
            return entry.reason == count.reason;
        });
        if (same == to->end()) {
            to->push_back(count);
        } else {
            same->count += count.count;
        }
    }
}

// Most frequent first.
void sort_counts(std::vector<wire::LeftOutCount>* counts) {
    std::stable_sort(counts->begin(), counts->end(),
                     [](const auto& a, const auto& b) { return a.count > b.count; });
}

uint64_t sum(const std::vector<wire::LeftOutCount>& counts) {
    uint64_t out = 0;
    for (const wire::LeftOutCount& count : counts) out += count.count;
    return out;
}

Error nothing_archived(uint64_t sources, const std::vector<wire::LeftOutCount>& left_out) {
    std::string reasons;
    for (const wire::LeftOutCount& count : left_out) {
        reasons +=
            (reasons.empty() ? ": " : ", ") + count.reason + " " + std::to_string(count.count);
    }
    return Error{ErrorCode::kBuildFailed,
                 "none of the " + std::to_string(sources) + " sources can be archived" + reasons};
}

Result<SplitPlan> prepare_plan(int plan, const AccessPolicy& policy, const PeerIdentity& peer,
                               const std::string& python, uid_t daemon_uid) {
    const Result<std::vector<std::string>> paths = read_plan(plan);
    if (!paths) return paths.error();
    const Result<std::vector<wire::Domain>> domains = policy.place_sources(peer, python, *paths);
    if (!domains) return domains.error();
    SplitPlan split = split_plan(*paths, *domains, daemon_uid);
    std::error_code ignored;
    split.interpreter = std::filesystem::canonical(python, ignored);
    if (split.parts.empty()) {
        return Error{ErrorCode::kInvalidArgument,
                     "nothing to build: none of the " + std::to_string(paths->size()) +
                         " source files is root's and safe from everybody else, with every "
                         "directory above it, and readable by all: for one, " +
                         paths->front()};
    }
    return split;
}

// Nothing is known of the sources before the builder has them, and then only by it.
Result<SplitPlan> prepare_offered(const AccessPolicy& policy, const PeerIdentity& peer,
                                        const std::string& python) {
    const Result<std::vector<wire::Domain>> allowed = policy.place_sources(peer, python, {});
    if (!allowed) return allowed.error();
    SplitPlan plan;
    plan.parts.push_back(user_part(peer.uid));
    return plan;
}

}  // namespace

Build::Build(const BuildServices& services, uint64_t number, BuildOrder order,
             std::weak_ptr<ReplySink> sink)
    : services_(services),
      number_(number),
      peer_(order.peer),
      request_(std::move(order.request)),
      origin_(order.origin),
      plan_(std::move(order.plan)),
      sink_(std::move(sink)) {}

bool Build::belongs_to(const ReplySink& sink) const {
    return sink_.lock().get() == &sink;
}

void Build::start(Ended ended) {
    ended_ = std::move(ended);
    started_ms_ = services_.clock.monotonic_ms();
    auto split = std::make_shared<std::optional<Result<SplitPlan>>>();
    auto plan = std::make_shared<UniqueFd>(std::move(plan_));
    services_.worker.post(
        [split, plan, &policy = services_.policy, peer = peer_, request = request_,
         uid = services_.daemon_uid] {
            split->emplace(request.offered
                               ? prepare_offered(policy, peer, request.python)
                               : prepare_plan(plan->get(), policy, peer, request.python, uid));
        },
        [self = shared_from_this(), split] { self->on_plan(std::move(**split)); });
}

void Build::on_plan(Result<SplitPlan> plan) {
    if (over_) return;
    if (!plan) return fail(plan.error());
    parts_ = std::move(plan->parts);
    refused_ = plan->refused;
    if (parts_.front().domain == wire::Domain::kSystem) {
        services_.interpreters.insert(plan->interpreter);
    }
    for (const PlanPart& part : parts_) total_ += part.count;
    if (refused_ != 0) {
        add_counts({{image::left_out_reason_name(image::LeftOutReason::kNotTrusted), refused_}},
                   &left_out_);
    }
    log_info("build " + std::to_string(number_) + " started: " +
             (request_.offered ? "a user's" : std::to_string(total_)) + " modules for " +
             printable(request_.python) + " -O" + std::to_string(request_.optimize) +
             (origin_.by_itself() ? ", by itself" : ", asked by uid " + std::to_string(peer_.uid)));
    launch_next();
}

void Build::launch_next() {
    if (next_part_ == parts_.size()) return publish();
    const PlanPart& part = parts_[next_part_];
    generation_ = services_.store.next_generation();
    BuilderJob job{
        request_.python, request_.optimize,   part.slot,
        generation_,     part.domain,         part.domain_uid,
        part.entries,    origin_.by_itself(), request_.for_run ? services_.common_base : 0,
        request_.offered, request_.hashes ? services_.hash_seed : 0};
    // The builder is destroyed with us and calls nobody after that: plain `this` is good.
    Result<std::unique_ptr<RunningBuilder>> running = services_.launcher.launch(
        job, BuilderCallbacks{[this](uint32_t done, uint32_t total) { on_progress(done, total); },
                              [this](Result<UniqueFd> output) { on_output(std::move(output)); }});
    if (!running) return fail(running.error());
    running_ = std::move(*running);
    const std::shared_ptr<ReplySink> sink = sink_.lock();
    if (request_.offered && sink) sink->sources_wanted(running_->take_sources());
}

void Build::on_progress(uint32_t done, uint32_t total) {
    const std::shared_ptr<ReplySink> sink = sink_.lock();
    const uint64_t now = services_.clock.monotonic_ms();
    if (!sink || (last_progress_ms_ != 0 && now - last_progress_ms_ < kProgressIntervalMs)) return;
    last_progress_ms_ = now;
    // What the builder says is a number from outside: it must not move the bar past its end.
    const uint32_t count = request_.offered ? total : parts_[next_part_].count;
    sink->progress(wire::BuildProgress{done_before_ + std::min(done, count),
                                       request_.offered ? total : total_});
}

void Build::on_output(Result<UniqueFd> output) {
    const std::shared_ptr<Build> self = shared_from_this();
    running_.reset();
    if (!output) return fail(output.error());
    PlanPart& part = parts_[next_part_];
    const auto expected = std::make_shared<const ExpectedImage>(
        ExpectedImage{part.slot, generation_, request_.optimize, part.domain, part.domain_uid,
                      services_.store.max_bytes_for(part.domain, part.domain_uid),
                      std::move(part.entries), request_.offered});
    auto imported = std::make_shared<std::optional<Result<ImportedImage>>>();
    auto fd = std::make_shared<UniqueFd>(std::move(*output));
    services_.worker.post(
        [imported, fd, expected] {
            imported->emplace(import_image(fd->get(), *expected));
            fd->reset();
        },
        [self, imported] { self->on_imported(std::move(**imported)); });
}

void Build::on_imported(Result<ImportedImage> imported) {
    if (over_) return;
    if (!imported) return fail(imported.error());
    imported->image.origin = origin_;
    if (request_.offered) imported->image.gid = peer_.gid;
    // As the seed does.
    imported->image.ends_with_boot = request_.hashes;
    if (request_.offered) total_ = imported->image.info.roots + imported->image.info.left_out;
    // An image of nothing is of no use, and must not take the place of a good one.
    if (imported->image.info.roots != 0) images_.push_back(std::move(imported->image));
    add_counts(imported->left_out, &left_out_);
    done_before_ += parts_[next_part_].count;
    ++next_part_;
    launch_next();
}

void Build::publish() {
    sort_counts(&left_out_);
    if (images_.empty()) return fail(nothing_archived(uint64_t{total_} + refused_, left_out_));
    uint64_t size = 0;
    for (const NewImage& image : images_) size += image.info.size;
    if (request_.offered && !services_.accounting.spend_image_bytes(
                                peer_.uid, size, services_.clock.monotonic_ms() * 1000)) {
        return fail(Error{ErrorCode::kUnavailable,
                          "with this image of " + human_size(size) +
                              " there would be more of users' images in a day than may be (" +
                              human_size(services_.accounting.limits().image_bytes_per_day.of_user) +
                              " of one user's); try again later"});
    }
    const Result<std::vector<wire::ImageInfo>> published =
        services_.store.publish(std::move(images_), services_.clock.unix_ms());
    if (!published) return fail(published.error());
    const uint64_t took_ms = services_.clock.monotonic_ms() - started_ms_;

    uint64_t modules = 0;
    uint64_t bytes = 0;
    std::string ids;
    for (const wire::ImageInfo& info : *published) {
        modules += info.roots;
        bytes += info.size;
        ids += (ids.empty() ? "" : " and ") + info.id;
        log_event(Event::kImagePublished,
                  info.id + " is ready: " + std::to_string(info.roots) + " modules for " +
                      printable(request_.python) + ", " + human_size(info.size),
                  {{field::kImage, info.id},
                   {field::kPython, request_.python},
                   {field::kModules, std::to_string(info.roots)},
                   {field::kBytes, std::to_string(info.size)},
                   {field::kUid, std::to_string(peer_.uid)}});
    }
    log_info("build " + std::to_string(number_) + " finished: " + ids + ", " +
             std::to_string(modules) + " modules, " + std::to_string(sum(left_out_)) +
             " left out, " + human_size(bytes) + ", " + one_decimal(took_ms / 100) + " s");

    wire::BuildReply reply{*published, std::move(left_out_), static_cast<uint32_t>(took_ms)};
    const std::shared_ptr<Build> self = shared_from_this();
    const std::shared_ptr<ReplySink> sink = sink_.lock();
    end(End::kDone);
    if (sink) sink->finish(Reply{wire::Reply{std::move(reply)}, {}});
}

void Build::fail(const Error& error) {
    const Error clean{error.code, printable(error.message)};
    log_event(Event::kBuildFailed, "build " + std::to_string(number_) + " failed: " + clean.message,
              {{field::kPython, request_.python},
               {field::kReason, clean.message},
               {field::kUid, std::to_string(peer_.uid)}});
    const std::shared_ptr<Build> self = shared_from_this();
    const std::shared_ptr<ReplySink> sink = sink_.lock();
    end(End::kFailed);
    if (sink) sink->finish(Reply{wire::Reply{clean}, {}});
}

void Build::cancel(const char* why) {
    if (over_) return;
    log_info("build " + std::to_string(number_) + " cancelled: " + why);
    const std::shared_ptr<Build> self = shared_from_this();
    end(End::kCancelled);
}

void Build::end(End how) {
    over_ = true;
    running_.reset();
    images_.clear();
    if (ended_) std::exchange(ended_, nullptr)(how);
}

}  // namespace pycds::core
