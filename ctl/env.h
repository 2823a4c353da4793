// Where the client for an interpreter lies.
#pragma once

#include <string>

#include "ctl/interpreter.h"
#include "src/common/base/result.h"

namespace pycds::ctl {

// The directory that this program lies in, links resolved.
Result<std::string> program_directory();

// The directory to put into PYTHONPATH: client/cpython-X.Y.Z beside the directory of this program
// (a build tree), else lib/pycds/client/cpython-X.Y.Z below its prefix. kNotFound with the versions
// that there are.
Result<std::string> find_client(const Interpreter& python, const std::string& program_directory);

}  // namespace pycds::ctl
