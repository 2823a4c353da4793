// A small program under the user's interpreter, started as a program of the user's would be: with
// the caller's environment, and the client in it if that or the interpreter switches it on.
#pragma once

#include <string>
#include <vector>

#include "ctl/child.h"
#include "ctl/target.h"
#include "src/common/base/result.h"

namespace pycds::ctl {

struct Trial {
    ChildEnd end;
    std::vector<std::string> said;  // what the program wrote to kPassedFd, as fields_of() has it
};

// Errors as run_child(). `socket`: of client_socket().
Result<Trial> try_program(const Target& target, std::vector<std::string> arguments,
                          const std::string& socket);

// The socket that clients ask: `wanted` (--socket) if it is not empty, else $PYCDS_SOCKET, else the
// system's. Not that of a user's own daemon, as choose_socket() has it: clients do not look for
// one.
std::string client_socket(const std::string& wanted);

}  // namespace pycds::ctl
