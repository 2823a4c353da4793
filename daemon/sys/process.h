// What the process sets up about itself before it does anything else.
#pragma once

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::sys {

// Blocks SIGTERM and SIGINT and returns a signalfd (non-blocking, close-on-exec) that becomes
// readable when one arrives. Call it before threads start: they inherit the mask. Children do too
// and must reset it.
Result<UniqueFd> block_stop_signals();

// Reads one signal off the descriptor: its number, or 0 if there is none.
int take_signal(int signal_fd);

// Raises the soft limit of open descriptors to the hard one: each image and each connection has
// one. Not being able to is no reason to stop.
void raise_descriptor_limit();

// A log or a service manager that went away must not end the daemon.
void ignore_broken_pipes();

}  // namespace pycds::sys
