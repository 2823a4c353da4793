// A running builder: its report, its stderr, its deadline and its end.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "daemon/build/reaper.h"
#include "daemon/build/report_reader.h"
#include "daemon/build/spawn.h"
#include "daemon/build/tail_buffer.h"
#include "daemon/core/builder_launcher.h"
#include "daemon/core/event_loop.h"

namespace pycds::build {

class BuilderProcess final : public core::RunningBuilder {
  public:
    struct Setup {
        SpawnedProcess process;
        UniqueFd plan;       // what it was given, if anything
        UniqueFd output;     // memfd that the builder fills
        UniqueFd report;     // read end, non-blocking
        UniqueFd error_out;  // read end of its stderr, non-blocking
        UniqueFd sources;    // for take_sources()
        std::string python;
        std::chrono::seconds deadline{0};
    };

    // The reaper outlives it.
    BuilderProcess(core::EventLoop& loop, Reaper& reaper, Setup setup,
                   core::BuilderCallbacks callbacks);
    BuilderProcess(const BuilderProcess&) = delete;
    BuilderProcess& operator=(const BuilderProcess&) = delete;
    // Kills what still runs, and leaves it to the reaper.
    ~BuilderProcess() override;
    UniqueFd take_sources() override { return std::move(setup_.sources); }

  private:
    void on_report();
    void on_error_out();
    void on_deadline();
    void on_exit();
    Status outcome(int wait_status) const;
    // " while it read PATH", or "".
    std::string where() const;

    Reaper& reaper_;
    Setup setup_;
    core::BuilderCallbacks callbacks_;
    ReportReader report_reader_;
    TailBuffer error_tail_;
    bool deadline_passed_ = false;
    bool waited_for_ = false;
    // After what they refer to: destroyed first.
    std::unique_ptr<core::Watch> report_watch_;
    std::unique_ptr<core::Watch> error_watch_;
    std::unique_ptr<core::Watch> exit_watch_;
    std::unique_ptr<core::Watch> deadline_watch_;
};

}  // namespace pycds::build
