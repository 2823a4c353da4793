// What becomes of a daemon's options when it reads its configuration again.
#pragma once

#include <string>
#include <vector>

#include "daemon/config/command_line.h"

namespace pycds::config {

struct Reload {
    Options options;  // in force from now on: where a restart is needed, the value of before
    // For people: "image-budget = 100 (was 2048)". Empty: nothing changed.
    std::vector<std::string> changed;
    // The same, of what takes a restart.
    std::vector<std::string> need_restart;
};

// Reads the configuration as parse_command_line() did when the daemon started, with the same
// arguments. An error means that `current` goes on.
Result<Reload> reload(int argc, const char* const* argv, const Options& current,
                      const char* system_config = kSystemConfig);

}  // namespace pycds::config
