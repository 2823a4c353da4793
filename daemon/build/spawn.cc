#include "daemon/build/spawn.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/build/landlock.h"

namespace pycds::build {
namespace {

// The builder opens one file at a time.
constexpr rlim_t kMaxDescriptors = 128;

// Everything that the child needs, made before fork(2): the daemon has a second thread, so the
// child may call nothing but async-signal-safe functions (signal-safety(7)); no allocation.
struct ChildPlan {
    std::vector<char*> arguments;
    std::vector<char*> environment;
    std::array<int, 8> passed{};
    size_t passed_count = 0;
    int null_fd = -1;
    int stderr_fd = -1;
    int ruleset_fd = -1;
    sock_fprog filter{};
    rlimit address_space{};
    rlimit file_size{};
    rlimit cpu{};
    int niceness = 0;
    std::string niceness_text;
    pid_t parent = 0;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
    std::vector<char*> out;
    for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

// A copy with a number above all that the child's own descriptors will have, so that moving one
// to its place never overwrites another.
Result<UniqueFd> duplicate_high(int fd) {
    UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 32));
    if (!copy) return errno_error("cannot duplicate a descriptor");
    return copy;
}

rlimit same_limits(uint64_t value) {
    return rlimit{value, value};
}

[[noreturn]] void give_up(const char* what) {
    const char* error = std::strerror(errno);
    const auto put = [](const char* text) {
        [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, text, std::strlen(text));
    };
    put(what);
    put(": ");
    put(error);
    put("\n");
    _exit(127);
}

// Says something to the kernel about this process. Where it is not heard nothing is lost.
void set_proc(const char* file, const char* value) {
    const int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    [[maybe_unused]] const ssize_t n = write(fd, value, std::strlen(value));
    close(fd);
}

// Nothing that root may do to others is left, but that it reads any file; for everybody else there
// is nothing to drop.
void drop_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
    if (syscall(SYS_capget, &header, data) != 0) return;
    if (data[0].permitted == 0 && data[1].permitted == 0) return;
    data[0].permitted &= 1U << CAP_DAC_READ_SEARCH;
    data[0].effective &= data[0].permitted;
    data[0].inheritable = 0;
    data[1] = {};
    if (syscall(SYS_capset, &header, data) != 0) give_up("cannot drop capabilities");
}

// The descriptor of the ruleset is close-on-exec like all of ours.
void confine(const ChildPlan& plan) {
    const rlimit none{0, 0};
    const rlimit descriptors{kMaxDescriptors, kMaxDescriptors};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_NPROC, &none) != 0 ||
        setrlimit(RLIMIT_NOFILE, &descriptors) != 0) {
        give_up("cannot limit the builder");
    }
    // Without new privileges execve(2) gives none back to root either (capabilities(7)).
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up("cannot renounce privileges");
    drop_capabilities();
    if (plan.ruleset_fd >= 0) {
        // What is known of the process itself: glibc reads there where its stack is.
        allow_reading(plan.ruleset_fd, "/proc/self");
        if (!restrict_to(plan.ruleset_fd)) give_up("cannot confine the builder (Landlock)");
        close(plan.ruleset_fd);
    }
    if (plan.filter.len != 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &plan.filter) != 0) {
        give_up("cannot confine the builder (seccomp)");
    }
}

[[noreturn]] void run_child(const ChildPlan& plan) {
    setsid();
    // Whoever kills the daemon does not leave builders behind. If it is dead already, the signal
    // was missed (prctl(2)).
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan.parent) _exit(127);

    dup2(plan.null_fd, STDIN_FILENO);
    dup2(plan.null_fd, STDOUT_FILENO);
    dup2(plan.stderr_fd, STDERR_FILENO);
    for (size_t i = 0; i < plan.passed_count; ++i) {
        if (dup2(plan.passed[i], kFirstPassedFd + static_cast<int>(i)) < 0) {
            give_up("cannot pass a descriptor to the builder");
        }
    }
    // All of the daemon's descriptors are close-on-exec; this is for what a library forgot.
    // Kernels before 5.9 do not have it.
    const unsigned first_free = kFirstPassedFd + static_cast<unsigned>(plan.passed_count);
    const unsigned ruleset = static_cast<unsigned>(plan.ruleset_fd);
    if (plan.ruleset_fd < 0) {
        syscall(SYS_close_range, first_free, ~0U, 0U);
    } else {
        syscall(SYS_close_range, first_free, ruleset - 1, 0U);
        syscall(SYS_close_range, ruleset + 1, ~0U, 0U);
    }

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    if (setrlimit(RLIMIT_AS, &plan.address_space) != 0 ||
        setrlimit(RLIMIT_FSIZE, &plan.file_size) != 0 || setrlimit(RLIMIT_CPU, &plan.cpu) != 0) {
        give_up("cannot limit the builder");
    }
    // Where it cannot be had it is no reason not to build.
    setpriority(PRIO_PROCESS, 0, plan.niceness);
    if (plan.niceness > 0) {
        // ioprio_set(2): the calling process, class "idle". glibc has no name for any of it.
        constexpr int kIoprioWhoProcess = 1;
        constexpr int kIoprioClassIdle = 3 << 13;
        syscall(SYS_ioprio_set, kIoprioWhoProcess, 0, kIoprioClassIdle);
    }
    // setsid() has made a scheduling group too (sched(7), "The autogroup feature"), inside which
    // alone niceness would count.
    if (plan.niceness > 0) set_proc("/proc/self/autogroup", plan.niceness_text.c_str());
    // If memory runs out, a builder goes and not the daemon, whose protection it has inherited.
    set_proc("/proc/self/oom_score_adj", "500");
    if (chdir("/") != 0) give_up("cannot change to /");
    confine(plan);
    execve(plan.arguments[0], plan.arguments.data(), plan.environment.data());
    give_up("cannot execute the interpreter");
}

}  // namespace

Result<SpawnedProcess> spawn(const SpawnRequest& request) {
    if (request.passed_fds.size() > ChildPlan{}.passed.size()) {
        return Error{ErrorCode::kInvalidArgument, "too many descriptors for a builder"};
    }
    UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null) return errno_error("cannot open /dev/null");
    std::vector<UniqueFd> copies;
    ChildPlan plan;
    for (const int fd : request.passed_fds) {
        Result<UniqueFd> copy = duplicate_high(fd);
        if (!copy) return copy.error();
        plan.passed[plan.passed_count++] = copy->get();
        copies.push_back(std::move(*copy));
    }
    const std::pair<int, int*> own[] = {{null.get(), &plan.null_fd},
                                        {request.stderr_fd, &plan.stderr_fd},
                                        {request.ruleset_fd, &plan.ruleset_fd}};
    for (const auto& [fd, target] : own) {
        if (fd < 0) continue;
        Result<UniqueFd> copy = duplicate_high(fd);
        if (!copy) return copy.error();
        *target = copy->get();
        copies.push_back(std::move(*copy));
    }
    if (request.filter != nullptr) {
        plan.filter.len = static_cast<unsigned short>(request.filter->size());
        plan.filter.filter = const_cast<sock_filter*>(request.filter->data());
    }
    plan.arguments = pointers(request.arguments);
    plan.environment = pointers(request.environment);
    plan.address_space = same_limits(request.max_address_space);
    plan.file_size = same_limits(request.max_file_size);
    // The soft limit's SIGXCPU tells the reason; the hard one kills who ignores it.
    const auto cpu = static_cast<rlim_t>(request.max_cpu.count());
    plan.cpu = rlimit{cpu, cpu + 1};
    plan.niceness = request.niceness;
    plan.niceness_text = std::to_string(request.niceness);
    plan.parent = getpid();

    SpawnedProcess process;
    process.pid = fork();
    if (process.pid < 0) return errno_error("cannot start a process");
    if (process.pid == 0) run_child(plan);
    // No race: the child is ours and nobody has waited for it.
    process.pid_fd.reset(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
    if (!process.pid_fd) {
        const Error error = errno_error("cannot watch the builder (pidfd_open)");
        kill(process.pid, SIGKILL);
        waitpid(process.pid, nullptr, 0);
        return error;
    }
    return process;
}

}  // namespace pycds::build
