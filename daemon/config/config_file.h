// The configuration file: lines of the form `name = value`, with the names of the command line.
// Empty lines, and lines that start with '#', say nothing.
#pragma once

#include <string>
#include <string_view>

#include "daemon/config/options.h"
#include "src/common/base/result.h"

namespace pycds::config {

// An error names the file and the line: "/etc/pycds/pycdsd.conf:3: no such option: soket".
Status parse_config(std::string_view text, const std::string& file, Options* options);

Status read_config(const std::string& file, Options* options);

}  // namespace pycds::config
