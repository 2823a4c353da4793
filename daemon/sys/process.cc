#include "daemon/sys/process.h"

#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "src/common/image/format.h"

namespace pycds::sys {
namespace {

Result<UniqueFd> block(std::initializer_list<int> numbers) {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : numbers) sigaddset(&signals, number);
    const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    if (error != 0) return errno_error("cannot block signals", error);
    UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) return errno_error("cannot make a signalfd");
    return fd;
}

bool take(int fd, signalfd_siginfo* info) {
    return read(fd, info, sizeof *info) == static_cast<ssize_t>(sizeof *info);
}

}  // namespace

Result<Signals> block_signals() {
    Result<UniqueFd> stop = block({SIGTERM, SIGINT});
    if (!stop) return stop.error();
    Result<UniqueFd> hangup = block({SIGHUP});
    if (!hangup) return hangup.error();
    return Signals{std::move(*stop), std::move(*hangup)};
}

bool take_stop(int fd) {
    signalfd_siginfo info{};
    return take(fd, &info);
}

Hangup take_hangup(int fd) {
    signalfd_siginfo info{};
    if (!take(fd, &info)) return Hangup::kNone;
    return info.ssi_code == SI_KERNEL ? Hangup::kTerminalGone : Hangup::kReload;
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t descriptor_limit() {
    rlimit limit{};
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

void ignore_broken_pipes() {
    signal(SIGPIPE, SIG_IGN);
}

uint64_t random_common_base() {
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) return 0;
    return image::kCommonBaseBegin + number % image::kCommonBases * image::kCommonBaseStep;
}

uint32_t random_hash_seed() {
    uint32_t number = 0;
    if (getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) return 0;
    return std::max(number, uint32_t{1});
}

}  // namespace pycds::sys
