// One child process, what it said on its outputs, and how it ended.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/common/base/result.h"

namespace pycds::ctl {

struct ChildSpec {
    std::string path;                    // absolute
    std::vector<std::string> arguments;  // without argv[0], which is `path`
    std::vector<std::string> variables;  // "NAME=value", added to or put in place of the caller's
    int input = -1;                      // its standard input; -1: empty
    int descriptor = -1;                 // passed on as kPassedFd; -1: none
};

// The number under which a child finds ChildSpec::descriptor.
inline constexpr int kPassedFd = 3;

struct ChildEnd {
    int status = 0;      // exit status; meaningless if `signal` is not 0
    int signal = 0;      // what killed it
    std::string output;  // its standard output
    std::string errors;  // its standard error
};

// Runs the child to its end; only the child itself is waited for, whatever it leaves behind keeps
// no pipe of ours open. `tick`, if given, is called about ten times a second meanwhile. kNotFound,
// kPermissionDenied or kSystem if it cannot be started.
Result<ChildEnd> run_child(const ChildSpec& spec, const std::function<void()>& tick = {});

// The fields of what a child wrote, each ended by NUL; what follows the last NUL is none.
std::vector<std::string> fields_of(std::string_view text);

// The last line with anything in it, white space around it removed; empty if there is none.
std::string last_line(const std::string& text);

}  // namespace pycds::ctl
