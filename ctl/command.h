// What main.cc and the commands agree on.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "src/common/base/result.h"

namespace pycds::ctl {

struct Globals {
    std::string socket;  // --socket; empty if not given
};

// What the chosen subcommand does once the command line is parsed and CLI11 with its exceptions is
// out of the way.
using Action = std::function<Status()>;

// Each adds one subcommand, which sets `action` when it is chosen. Both references must outlive
// the parsing.
void add_build_command(CLI::App& app, const Globals& globals, Action& action);
void add_status_command(CLI::App& app, const Globals& globals, Action& action);
void add_list_command(CLI::App& app, const Globals& globals, Action& action);
void add_show_command(CLI::App& app, const Globals& globals, Action& action);
void add_verify_command(CLI::App& app, const Globals& globals, Action& action);
void add_drop_command(CLI::App& app, const Globals& globals, Action& action);
void add_env_command(CLI::App& app, const Globals& globals, Action& action);
void add_enable_command(CLI::App& app, const Globals& globals, Action& action);
void add_disable_command(CLI::App& app, const Globals& globals, Action& action);
void add_doctor_command(CLI::App& app, const Globals& globals, Action& action);
void add_explain_command(CLI::App& app, const Globals& globals, Action& action);
// `to_run`: what stands behind its options (run.h); must outlive the parsing and the action.
void add_run_command(CLI::App& app, const Globals& globals, Action& action,
                     const std::vector<std::string>& to_run);

// Exit statuses: part of the command-line contract, listed by --help.
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

constexpr int exit_status(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalidArgument: return kExitUsage;
        case ErrorCode::kNotFound: return 3;
        case ErrorCode::kPermissionDenied: return 4;
        case ErrorCode::kUnavailable: return 5;
        case ErrorCode::kCorrupt: return 6;
        case ErrorCode::kBuildFailed: return 7;
        case ErrorCode::kSystem: return kExitFailed;
    }
    return kExitFailed;
}

}  // namespace pycds::ctl
