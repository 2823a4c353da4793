// Which system calls a builder may make. Two lists: what it takes to start an interpreter and to
// read files, and what is left once all files are read and the first byte of them is to be
// believed.
//
// Everything else fails with EPERM. What the lists leave out on purpose: sockets, new processes and
// threads, signals (also to oneself: abort(3) ends with SIGSEGV then), ptrace and the memory of
// others, limits of others, opening a file for writing, namespaces, keys, bpf, io_uring, memfd.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "src/common/base/result.h"

namespace pycds::build {

enum class FilterStage {
    // From before execve(2) on. Files can be opened for reading; only plan, output and report,
    // which
    // are open, can be written.
    kLaunch,
    // Installed by the builder itself (client/builder/confinement.h), on top of the other. Nothing
    // can
    // be opened or executed and no memory made executable.
    kConfined,
};

// A program for prctl(2), PR_SET_SECCOMP. Calls that libseccomp does not know yet are left out.
Result<std::vector<sock_filter>> make_syscall_filter(FilterStage stage);

}  // namespace pycds::build
