#include "daemon/sys/process.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

namespace pycds::sys {

Result<UniqueFd> block_stop_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    if (error != 0) return errno_error("cannot block signals", error);
    UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) return errno_error("cannot make a signalfd");
    return fd;
}

int take_signal(int signal_fd) {
    signalfd_siginfo info{};
    if (read(signal_fd, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return 0;
    return static_cast<int>(info.ssi_signo);
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void ignore_broken_pipes() {
    signal(SIGPIPE, SIG_IGN);
}

}  // namespace pycds::sys
