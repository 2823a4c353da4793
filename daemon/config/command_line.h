// The command line of pycdsd.
#pragma once

#include <optional>
#include <string>

#include "daemon/config/config_file.h"
#include "daemon/config/options.h"
#include "src/common/base/result.h"

namespace pycds::config {

// What --help and --version, or a mistake, lead to instead of a running daemon.
struct EarlyExit {
    int status = 0;
    std::string text;  // for stdout if status is 0, else stderr; ends with a newline
};

struct CommandLine {
    std::optional<EarlyExit> exit;
    Options options;  // complete, if there is no exit
};

// Reads the configuration too: of the file that is named or, without --user, of `system_config` if
// it is there. The command line has the last word.
Result<CommandLine> parse_command_line(int argc, const char* const* argv,
                                       const char* system_config = kSystemConfig);

}  // namespace pycds::config
