// What can be switched on: an interpreter, or a virtual environment of one.
#pragma once

#include <string>
#include <string_view>

#include "ctl/interpreter.h"
#include "src/common/base/result.h"

namespace pycds::ctl {

struct Target {
    Interpreter python;  // of a virtual environment: its own
    std::string stdlib;  // directory of the standard library; an environment has that of its base
    std::string suffix;  // of extension modules, ".cpython-311-x86_64-linux-gnu.so"
    std::string build;  // sys.version in one line, as an image names the interpreter that it is for
    std::string variant;  // "debug" or "free-threaded": a build that no client is for; else empty
    std::string venv;     // the directory with pyvenv.cfg; empty: none
    std::string site_packages;  // of the environment

    // The ways in (client/ext/way_in.h).
    std::string stdlib_hook() const { return stdlib + "/sitecustomize" + suffix; }
    std::string venv_link() const { return site_packages + "/_pycds" + suffix; }
    std::string venv_pth() const { return site_packages + "/pycds.pth"; }
};

// `name` is that of an interpreter, as for find_interpreter(), or the directory of a virtual
// environment. Runs the interpreter, isolated. Errors as find_interpreter().
Result<Target> find_target(std::string_view name);

// The client's library for it. kNotFound with the versions that there are; kInvalidArgument for a
// build that the client would refuse.
Result<std::string> find_library(const Target& target);

}  // namespace pycds::ctl
