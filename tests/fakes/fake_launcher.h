// A launcher that starts nothing: a test reads what was asked for and plays the builder.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/core/builder_launcher.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::fakes {

class FakeLauncher final : public core::BuilderLauncher {
  public:
    struct Started {
        core::BuilderJob job;
        core::BuilderCallbacks callbacks;
        std::shared_ptr<bool> alive = std::make_shared<bool>(true);
    };

    Result<std::unique_ptr<core::RunningBuilder>> launch(
        const core::BuilderJob& job, core::BuilderCallbacks callbacks) override {
        if (refusal) return *refusal;
        started.push_back(Started{job, std::move(callbacks)});
        return std::unique_ptr<core::RunningBuilder>(
            std::make_unique<Running>(started.back().alive, job.offered));
    }

    Result<std::unique_ptr<core::RunningBuilder>> launch_planner(
        const core::PlannerJob& job, core::BuilderCallbacks callbacks) override {
        if (refusal) return *refusal;
        planners.push_back(Planner{job, std::move(callbacks)});
        return std::unique_ptr<core::RunningBuilder>(
            std::make_unique<Running>(std::make_shared<bool>(true), false));
    }

    // The planner that was started last ends with this output.
    void planner_exits_with(const std::string& output) {
        Result<UniqueFd> fd = create_memfd("fake-plan");
        if (!fd ||
            write(fd->get(), output.data(), output.size()) != static_cast<ssize_t>(output.size())) {
            return planner_exits_with(Error{ErrorCode::kSystem, "the fake cannot write"});
        }
        const auto on_exit = planners.back().callbacks.on_exit;
        on_exit(std::move(*fd));
    }

    void planner_exits_with(const Error& error) {
        const auto on_exit = planners.back().callbacks.on_exit;
        on_exit(error);
    }

    // The builder that was started last ends with these bytes as its output.
    void exit_with(const std::vector<std::byte>& bytes) {
        Result<UniqueFd> fd = create_memfd("fake-output");
        if (!fd ||
            write(fd->get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
            return exit_with(Error{ErrorCode::kSystem, "the fake cannot write its output"});
        }
        const auto on_exit = started.back().callbacks.on_exit;
        on_exit(std::move(*fd));
    }

    void exit_with(const Error& error) {
        const auto on_exit = started.back().callbacks.on_exit;
        on_exit(error);
    }

    struct Planner {
        core::PlannerJob job;
        core::BuilderCallbacks callbacks;
    };

    std::vector<Started> started;
    std::vector<Planner> planners;
    std::optional<Error> refusal;  // what launch() fails with

  private:
    class Running final : public core::RunningBuilder {
      public:
        Running(std::shared_ptr<bool> alive, bool offered)
            : alive_(std::move(alive)), offered_(offered) {}
        Running(const Running&) = delete;
        Running& operator=(const Running&) = delete;
        ~Running() override { *alive_ = false; }
        // Any descriptor will do.
        UniqueFd take_sources() override {
            return UniqueFd(offered_ ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1);
        }

      private:
        std::shared_ptr<bool> alive_;
        bool offered_;
    };
};

}  // namespace pycds::fakes
