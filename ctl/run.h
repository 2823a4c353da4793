// pycdsctl run: everything about it that does not need the daemon.
#pragma once

#include <string>
#include <vector>

#include "src/common/base/result.h"

namespace pycds::ctl {

// Our own arguments, the program's name first, and what is to be run.
struct SplitArguments {
    std::vector<char*> own;
    std::vector<std::string> command;
    bool is_run = false;
};

// Everything behind the first word of `run` that is no option is COMMAND's, whatever it looks like;
// "--" ends the options, too. Without `run` all arguments are our own.
SplitArguments split_run_arguments(int argc, char** argv);

// As env(1) has it: what is not COMMAND's own exit status.
inline constexpr int kExitRunFailed = 125;
constexpr int run_exit_status(ErrorCode code) {
    switch (code) {
        case ErrorCode::kPermissionDenied: return 126;  // there, but not to be executed
        case ErrorCode::kNotFound: return 127;
        default: return kExitRunFailed;
    }
}

}  // namespace pycds::ctl
