// Where the client for an interpreter lies.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ctl/interpreter.h"
#include "src/common/base/result.h"

namespace pycds::ctl {

// The directory that this program lies in, links resolved.
Result<std::string> program_directory();

// Where clients may be, best first: client/ beside the directory of this program (a build tree), and
// lib/pycds/client/ below its prefix.
std::vector<std::filesystem::path> client_directories(const std::string& program_directory);

// The directory to put into PYTHONPATH: cpython-X.Y.Z in one of those. kNotFound with the versions
// that there are.
Result<std::string> find_client(const Interpreter& python, const std::string& program_directory);

}  // namespace pycds::ctl
