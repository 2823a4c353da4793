// What the daemon can be told.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "src/common/base/result.h"

namespace pycds::config {

struct Options {
    std::string socket;   // absolute path
    bool user = false;    // a daemon of one user's own
    std::string clients;  // directory of pycds_build.py
    uint32_t build_deadline_s = 300;
    uint64_t build_memory_mib = 4096;
    uint64_t image_budget_mib = 2048;
    bool verbose = false;
};

// Sets one option by the name that it has on the command line (without dashes) and in the
// configuration file. kInvalidArgument for a name that there is not, or a value that it cannot
// have.
Status set_option(Options* options, std::string_view name, std::string_view value);

// Gives what was not set its default: the socket from $XDG_RUNTIME_DIR for a user's daemon, and
// the directory of the clients next to the program.
Status fill_in_defaults(Options* options);

}  // namespace pycds::config
