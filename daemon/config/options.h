// What the daemon can be told.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/common/base/result.h"

namespace pycds::config {

struct Options {
    std::string socket;   // absolute path
    bool user = false;    // a daemon of one user's own
    std::string clients;  // directory of pycds_build.py
    uint32_t build_deadline_s = 300;
    uint64_t build_memory_mib = 4096;
    uint64_t image_budget_mib = 2048;
    uint64_t user_image_budget_mib = 128;  // 0: users have no images
    uint64_t users_image_budget_mib = 512;
    // Limits of what one user, or all peers together, may have of the daemon.
    uint64_t max_connections = 2048;
    uint64_t user_connections = 512;
    uint64_t user_descriptors = 1024;
    uint64_t user_requests = 500;  // per second and processor
    uint64_t user_builds = 6;      // per minute
    uint64_t patience_s = 5;
    bool verbose = false;
    std::optional<bool> discover;           // ask discovers()
    std::vector<std::string> interpreters;  // absolute paths, none of them twice
    std::string cache;                      // absolute path; empty: none

    // Make images for the interpreters that are found, without being asked?
    bool discovers() const { return discover.value_or(!user); }
};

// One of the names that the command line (with dashes) and the configuration file know.
struct OptionInfo {
    const char* name;
    const char* type;    // of its value, for --help; null: a flag on the command line
    const char* help;    // with the default
    bool needs_restart;  // another value cannot be taken up by a daemon that runs
};
std::span<const OptionInfo> all_options();

// Sets one option, or for 'interpreter' adds to it. kInvalidArgument for a name that there is not,
// or a value that it cannot have; whatever bytes the value has, the message is one line.
Status set_option(Options* options, std::string_view name, std::string_view value);

// The value of an option for people.
std::string option_text(const Options& options, std::string_view name);

// Makes the value of an option that needs a restart that of `from`.
void keep_option(const Options& from, std::string_view name, Options* to);

// Gives what was not set its default: the socket from $XDG_RUNTIME_DIR for a user's daemon, the
// directory of the clients next to the program, the cache of $CACHE_DIRECTORY (systemd.exec(5)).
// Call it once, after all set_option().
Status fill_in_defaults(Options* options);

}  // namespace pycds::config
