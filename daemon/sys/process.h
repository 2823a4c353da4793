// What the process sets up about itself before it does anything else.
#pragma once

#include <cstdint>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::sys {

// Descriptors (signalfd(2), non-blocking, close-on-exec) that become readable when a signal came.
struct Signals {
    UniqueFd stop;    // SIGTERM, SIGINT
    UniqueFd hangup;  // SIGHUP
};

// Blocks the signals. Call it before threads start: they inherit the mask. Children do too and must
// reset it.
Result<Signals> block_signals();

// Takes one signal off Signals::stop: did one come?
bool take_stop(int fd);

enum class Hangup {
    kNone,          // no signal
    kReload,        // somebody sent it
    kTerminalGone,  // the kernel did: our terminal is no more
};
// Takes one signal off Signals::hangup.
Hangup take_hangup(int fd);

// Raises the soft limit of open descriptors to the hard one: each image and each connection has
// one. Not being able to is no reason to stop.
void raise_descriptor_limit();

// How many there may be; as many may be on their way to other processes (unix(7), ETOOMANYREFS).
uint64_t descriptor_limit();

// A log or a service manager that went away must not end the daemon.
void ignore_broken_pipes();

// An address out of those of image/format.h (kCommonBaseBegin). 0, which means none, where the
// kernel has no random numbers to give.
uint64_t random_common_base();

// A seed for PYTHONHASHSEED, from 1 to 4294967295 (0 would switch hash randomisation off), or 0 if the kernel
// has none to give.
uint32_t random_hash_seed();

}  // namespace pycds::sys
