// Starts builders as client/builder/PROTOCOL.md says.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "daemon/build/reaper.h"
#include "daemon/build/sandbox.h"
#include "daemon/core/builder_launcher.h"
#include "daemon/core/event_loop.h"

namespace pycds::build {

struct LauncherOptions {
    std::string clients;                      // directory that holds pycds_build.py
    std::chrono::seconds deadline{300};       // of wall clock and of CPU time
    uint64_t max_memory = uint64_t{4} << 30;  // bytes of address space
    uint64_t max_output = uint64_t{2} << 30;  // bytes of an image
    // Of a builder of offered sources, where that is less.
    std::chrono::seconds user_deadline{120};
    uint64_t user_max_memory = uint64_t{768} << 20;
    uint64_t user_max_output = uint64_t{128} << 20;
};

class ProcessLauncher final : public core::BuilderLauncher {
  public:
    ProcessLauncher(core::EventLoop& loop, LauncherOptions options)
        : loop_(loop), options_(std::move(options)), sandbox_(Sandbox::make()), reaper_(loop) {}

    // An error where builders cannot be confined: then none is started.
    const Result<Sandbox>& sandbox() const { return sandbox_; }

    // For builders to come.
    void set_options(LauncherOptions options) { options_ = std::move(options); }

    Result<std::unique_ptr<core::RunningBuilder>> launch(const core::BuilderJob& job,
                                                         core::BuilderCallbacks callbacks) override;
    Result<std::unique_ptr<core::RunningBuilder>> launch_planner(
        const core::PlannerJob& job, core::BuilderCallbacks callbacks) override;

  private:
    struct Run {
        std::string python;
        const char* script;                  // its name in `clients`
        std::vector<std::string> options;    // of the interpreter, before the script
        std::vector<std::string> arguments;  // of the script
        UniqueFd plan;                       // passed first, if there is one
        std::vector<std::string> readable;   // paths: sandbox.h
        UniqueFd sources;                    // passed last, if there is one
        uint32_t hash_seed = 0;              // PYTHONHASHSEED; 0: random
        uint64_t max_output = 0;             // bytes
        uint64_t max_memory = 0;             // bytes
        std::chrono::seconds deadline{0};
        bool in_background = false;
    };
    // `sources`: what the peer gets of the socket, if there is one.
    Result<std::unique_ptr<core::RunningBuilder>> start(Run run, core::BuilderCallbacks callbacks,
                                                        UniqueFd sources = UniqueFd());

    core::EventLoop& loop_;
    LauncherOptions options_;
    Result<Sandbox> sandbox_;
    Reaper reaper_;
};

}  // namespace pycds::build
