// Makes the images that nobody has to ask for: finds the host's interpreters, plans an image for
// each, and builds it unless there is one already that was made out of the same files. Does so
// again when files change, when the administrator asks (reload), and one interpreter after the
// other.
//
// One thread, the event loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/event_loop.h"
#include "daemon/core/plan.h"
#include "daemon/core/service.h"

namespace pycds::core {

// Where interpreters are looked for. Implemented by daemon/discover.
class InterpreterFinder {
  public:
    virtual ~InterpreterFinder() = default;
    // Absolute paths without symbolic links, each once, in a stable order. Looks at the file
    // system; runs on the worker's thread, so it refers to nothing that changes but there.
    virtual std::vector<std::string> find(const std::vector<std::string>& configured) const = 0;
    // The directories in which new ones would appear.
    virtual std::vector<std::string> directories() const = 0;
};

// Tells that something in one of many directories changed. Implemented by daemon/discover.
class DirectoryWatcher {
  public:
    virtual ~DirectoryWatcher() = default;
    // From now on these and no others. Those that do not exist are left out. Reports by the
    // callback given when it was made, from the event loop, as often as it likes. True if there is
    // one among them, of a name or behind it, that was not watched before.
    virtual bool watch(const std::vector<std::string>& directories) = 0;
};

struct DiscoveryOptions {
    bool enabled = true;
    std::vector<std::string> interpreters;  // configured ones, besides those that are found
    uint64_t image_budget = 0;              // bytes, of all images together
    // Files come many at a time: this long after the last change...
    std::chrono::milliseconds quiet{2000};
    // ...but this long after the first at most, and after the last look.
    std::chrono::milliseconds patience{15000};
    // What failed but may work later (no memory, no room, too slow) is tried again after this long,
    // then after twice as long, and so on; once a day at least.
    std::chrono::milliseconds retry{300'000};
};

struct DiscoveryDependencies {
    Clock& clock;
    EventLoop& loop;
    Worker& worker;
    BuilderLauncher& launcher;
    const AccessPolicy& policy;  // outlives the worker
    Service& service;
    const InterpreterFinder& finder;  // likewise
};

class Discovery {
  public:
    Discovery(const DiscoveryDependencies& dependencies, DiscoveryOptions options);
    Discovery(const Discovery&) = delete;
    Discovery& operator=(const Discovery&) = delete;
    ~Discovery();

    // Given after construction because it reports to on_change().
    void set_watcher(DirectoryWatcher* watcher) { watcher_ = watcher; }

    void set_options(DiscoveryOptions options);

    // Looks at once, or once more after the look that is under way. What failed before is tried
    // again.
    void look();

    // For the watcher.
    void on_change();

    // Nothing is under way and nothing waits. For tests.
    bool is_idle() const { return !looking_ && !again_ && !timer_; }

  private:
    class Sink;

    struct Failure {
        uint64_t fingerprint = 0;
        bool for_now = false;  // may work later, with the same files
    };

    struct Found {
        std::vector<std::string> interpreters;
        std::vector<Error> refused;
    };

    void begin();
    void on_found(Found found);
    void next();
    void on_plan(Result<UniqueFd> output);
    void on_read(Result<SystemPlan> plan);
    void on_built(const Status& status);
    void end();
    void drop_images_of_gone();
    void report(const Error& error);
    void arm();
    void arm_retry();
    bool is_current(Origin origin) const;

    const DiscoveryDependencies on_;
    DiscoveryOptions options_;
    DirectoryWatcher* watcher_ = nullptr;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

    bool looking_ = false;
    bool again_ = false;
    std::vector<std::string> found_;  // interpreters of the look under way
    size_t at_ = 0;
    std::set<std::string> directories_;
    std::unique_ptr<RunningBuilder> planner_;
    std::shared_ptr<Sink> sink_;
    Origin origin_;

    std::map<uint64_t, std::string> known_;  // paths of all that were found so far, by hash
    // What failed, and out of what, so that it is not tried for ever. By interpreter.
    std::map<uint64_t, Failure> failed_;
    bool failed_for_now_ = false;  // one of the look under way, or of the last
    std::unique_ptr<Watch> retry_timer_;
    uint64_t retry_at_ms_ = 0;     // 0: nothing to try
    uint64_t retry_delay_ms_ = 0;  // how long that was waited for
    // Said once.
    std::set<std::string> reported_;

    std::unique_ptr<Watch> timer_;
    uint64_t first_change_ms_ = 0;  // 0: none waits
    uint64_t last_look_ms_ = 0;
};

}  // namespace pycds::core
