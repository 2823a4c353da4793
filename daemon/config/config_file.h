// The configuration file: UTF-8 lines of the form `name = value`, with the names of the command
// line. Empty lines, and lines that start with '#', say nothing.
#pragma once

#include <string>
#include <string_view>

#include "daemon/config/options.h"
#include "src/common/base/result.h"

namespace pycds::config {

// The system's daemon reads it if it is there.
inline constexpr const char* kSystemConfig = "/etc/pycds/pycdsd.conf";

// An error names the file and the line: "/etc/pycds/pycdsd.conf:3: no such option: 'soket'; ...".
Status parse_config(std::string_view text, const std::string& file, Options* options);

enum class MayBeMissing { kNo, kYes };

// Reads `file`, and then, in the byte order of their names, the files *.conf in the directory
// `file`.d, of which what comes later has the last word. Only `file` and the directory may be
// missing; a symbolic link to nothing is an error.
Status read_config(const std::string& file, MayBeMissing missing, Options* options);

}  // namespace pycds::config
