// One build request on its way: the plan is read and split (worker), each part is built (builder
// process) and imported (worker), and all images are published together.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/access_policy.h"
#include "daemon/core/accounting.h"
#include "daemon/core/builder_launcher.h"
#include "daemon/core/clock.h"
#include "daemon/core/image_import.h"
#include "daemon/core/image_store.h"
#include "daemon/core/plan.h"
#include "daemon/core/reply.h"
#include "daemon/core/worker.h"

namespace pycds::core {

// What builds work with; outlives them.
struct BuildServices {
    Clock& clock;
    Worker& worker;
    BuilderLauncher& launcher;
    const AccessPolicy& policy;
    ImageStore& store;
    Accounting& accounting;
    uid_t daemon_uid;
    std::set<std::string>& interpreters;  // Service::note_interpreter()
    uint64_t common_base = 0;  // see BuilderJob
    uint32_t hash_seed = 0;    // likewise
};

// What is asked for, by whom, and what for.
struct BuildOrder {
    PeerIdentity peer;
    wire::BuildRequest request;
    UniqueFd plan;  // none if the sources are offered
    // Set: the daemon makes it by itself, and it gives way to everything else that the machine has
    // to do.
    Origin origin = {};
};

class Build : public std::enable_shared_from_this<Build> {
  public:
    // How it ended, for the one who counts and schedules builds.
    enum class End { kDone, kFailed, kCancelled };
    using Ended = std::function<void(End)>;

    Build(const BuildServices& services, uint64_t number, BuildOrder order,
          std::weak_ptr<ReplySink> sink);
    Build(const Build&) = delete;
    Build& operator=(const Build&) = delete;
    // Kills the builder, if one runs.
    ~Build() = default;

    // `ended` is called once, never from inside start(); it may give up the last reference.
    void start(Ended ended);

    // Kills the builder; the peer gets no reply, `ended` is called unless the build has ended.
    // `why` is for the log.
    void cancel(const char* why);

    // Instead of start(): fails, and says so to who asked for it.
    void turn_away(const Error& error) { fail(error); }

    bool belongs_to(const ReplySink& sink) const;
    // Who asked for it.
    uid_t uid() const { return peer_.uid; }

  private:
    void on_plan(Result<SplitPlan> plan);
    void launch_next();
    void on_progress(uint32_t done, uint32_t total);
    void on_output(Result<UniqueFd> output);
    void on_imported(Result<ImportedImage> imported);
    void publish();
    void fail(const Error& error);
    void end(End how);

    const BuildServices& services_;
    const uint64_t number_;  // for the log
    const PeerIdentity peer_;
    const wire::BuildRequest request_;
    const Origin origin_;
    UniqueFd plan_;
    const std::weak_ptr<ReplySink> sink_;
    Ended ended_;
    bool over_ = false;
    uint64_t started_ms_ = 0;

    std::vector<PlanPart> parts_;
    size_t next_part_ = 0;
    uint64_t generation_ = 0;  // of the part that is being built
    uint32_t total_ = 0;       // entries of all parts
    uint32_t refused_ = 0;     // sources that are in none
    uint32_t done_before_ = 0;
    uint64_t last_progress_ms_ = 0;
    std::unique_ptr<RunningBuilder> running_;

    std::vector<NewImage> images_;
    std::vector<wire::LeftOutCount> left_out_;  // of all parts, and the refused
};

}  // namespace pycds::core
