// Runs the builder, a foreign process, for one image, and the planner, its like. Implemented by
// daemon/build; by a fake in tests.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"
#include "src/common/wire/messages.h"

namespace pycds::core {

// What client/builder/PROTOCOL.md puts on the command line.
struct BuilderJob {
    std::string python;     // absolute path
    uint32_t optimize = 0;  // 0, 1 or 2
    uint32_t slot = 0;
    uint64_t generation = 0;
    wire::Domain domain = wire::Domain::kSystem;
    uid_t domain_uid = 0;
    std::string plan;            // entries as the builder reads them
    bool in_background = false;  // nobody waits for it: everything else on the machine goes first
    // The image is for processes that have the interpreter there (image/format.h); 0: elsewhere.
    uint64_t common_base = 0;
    // There is no plan: the sources come over a socket, RunningBuilder::take_sources(). From somebody
    // who may mean no good: it has less time and memory.
    bool offered = false;
    // PYTHONHASHSEED of the processes that the image is for; 0: of any.
    uint32_t hash_seed = 0;
};

// Looks for what an interpreter can import (clients/pycds_plan.py, mode `system`).
struct PlannerJob {
    std::string python;          // absolute path
    uint64_t max_pyc_bytes = 0;  // sum of the .pyc files' sizes; what is beyond is left out
};

struct BuilderCallbacks {
    std::function<void(uint32_t done, uint32_t total)> on_progress;
    // At most once, and last: the unsealed memfd with whatever the builder left in it, or why there
    // is none. The RunningBuilder may be destroyed inside.
    std::function<void(Result<UniqueFd> output)> on_exit;
};

// A builder that was started. Destroying it kills the builder and all that it started; no callback
// comes after that.
class RunningBuilder {
  public:
    virtual ~RunningBuilder() = default;
    // The other end of the socket of a job with offered sources, once; invalid of any other.
    virtual UniqueFd take_sources() { return UniqueFd(); }
};

class BuilderLauncher {
  public:
    virtual ~BuilderLauncher() = default;
    // No callback is called from inside launch().
    virtual Result<std::unique_ptr<RunningBuilder>> launch(const BuilderJob& job,
                                                           BuilderCallbacks callbacks) = 0;
    // Its output is what read_system_plan() reads (plan.h). In the background.
    virtual Result<std::unique_ptr<RunningBuilder>> launch_planner(const PlannerJob& job,
                                                                   BuilderCallbacks callbacks) = 0;
};

}  // namespace pycds::core
