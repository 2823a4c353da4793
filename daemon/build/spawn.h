// Starts a program in a session of its own, with nothing of ours but the descriptors it is given,
// and confined: it gains no privileges, has none but root's to read any file (CAP_DAC_READ_SEARCH),
// cannot start another process, and does what filter and ruleset let it (sandbox.h).
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::build {

// The descriptors of the child start here; the first three are /dev/null, /dev/null and `error`.
inline constexpr int kFirstPassedFd = 3;

struct SpawnRequest {
    std::vector<std::string> arguments;    // the first is the program, an absolute path
    std::vector<std::string> environment;  // NAME=value
    int stderr_fd = -1;
    // Become kFirstPassedFd, kFirstPassedFd + 1, ... in the child. At most 8.
    std::vector<int> passed_fds;
    uint64_t max_address_space = 0;  // bytes, RLIMIT_AS
    uint64_t max_file_size = 0;      // bytes, RLIMIT_FSIZE
    std::chrono::seconds max_cpu{0};
    // nice(1) of the child: the caller's own is for answering, not for work.
    int niceness = 0;
    // Installed last; borrowed until spawn() returns.
    const std::vector<sock_filter>* filter = nullptr;
    int ruleset_fd = -1;  // of Landlock; -1: none
};

struct SpawnedProcess {
    pid_t pid = -1;   // also the number of its process group and session
    UniqueFd pid_fd;  // readable once it has ended; the child stays a zombie until waited for
};

// What execve(2) says shows as exit status 127 and a line on stderr. The child dies with the
// thread that calls this (prctl(2), PR_SET_PDEATHSIG).
Result<SpawnedProcess> spawn(const SpawnRequest& request);

}  // namespace pycds::build
