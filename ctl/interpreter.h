// The interpreter that the user named, run with the user's own rights and environment.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/mapping.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ctl {

struct Interpreter {
    std::string name;        // as the user wrote it, for messages
    std::string path;        // absolute; a symbolic link stays one, virtual environments need it
    std::string executable;  // sys.executable: what a wrapper such as a version manager's runs
    std::string version;     // "3.11.2"
    std::string cache_tag = {};  // "cpython-311"; empty: it writes no .pyc
};

// The entries of a plan (its descriptor), each ended by a NUL.
Result<Mapping> map_plan(int plan);

// Looks a bare name up in PATH, makes a path absolute, and asks the interpreter who it is.
// kNotFound, kPermissionDenied; kInvalidArgument for what is not a CPython.
Result<Interpreter> find_interpreter(std::string_view name);

struct PlanRequest {
    enum class Mode { kModules, kImport, kTrace, kAll };
    Mode mode = Mode::kAll;
    std::vector<std::string> names;  // kModules, kImport
    std::string trace_file;          // kTrace; "-" is standard input
    uint32_t optimize = 0;           // -O level
};

struct Plan {
    UniqueFd fd;         // memfd; what BuildRequest of proto/pycds.proto wants
    uint32_t count = 0;  // sources in it, at least one
};

// Runs plan.py under the interpreter. `tick` as for run_child().
Result<Plan> make_plan(const Interpreter& python, const PlanRequest& request,
                       const std::function<void()>& tick = {});

// Splits "a, b c" at commas and white space.
std::vector<std::string> split_names(std::string_view text);

}  // namespace pycds::ctl
