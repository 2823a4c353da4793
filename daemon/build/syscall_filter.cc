#include "daemon/build/syscall_filter.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <asm/ioctls.h>
#include <cerrno>
#include <initializer_list>
#include <memory>

#include "src/common/os/sealed_memfd.h"

namespace pycds::build {
namespace {

// glibc's names for areas of anonymous memory; older headers do not have it.
constexpr uint64_t kPrSetVma = 0x53564d41;

// Computing, memory that is one's own, and writing to what is open.
constexpr const char* kAlways[] = {
    "brk",
    "clock_getres",
    "clock_gettime",
    "close",
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "lseek",
    "madvise",
    "mremap",
    "munmap",
    "pread64",
    "pwrite64",
    "read",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "sigaltstack",
    "sysinfo",
    "time",
    "write",
    "writev",
};

// What dynamic loader, C library, CPython's start and its reading of files need. Shells too: an
// interpreter may be a script that executes another.
constexpr const char* kLaunchOnly[] = {
    "access",
    "arch_prctl",
    "chdir",
    "clock_nanosleep",
    "dup",
    "dup2",
    "dup3",
    "execve",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fstat",
    "fstatfs",
    "ftruncate",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpgid",
    "getpgrp",
    "getppid",
    "getresgid",
    "getresuid",
    "getrlimit",
    "getrusage",
    "getsid",
    "getuid",
    "lstat",
    "membarrier",
    "mmap",
    "mprotect",
    "nanosleep",
    "newfstatat",
    "poll",
    "ppoll",
    "preadv",
    "pselect6",
    "readlink",
    "readlinkat",
    "readv",
    "rseq",
    "select",
    "set_robust_list",
    "set_tid_address",
    "stat",
    "statfs",
    "statx",
    "times",
    "umask",
    "uname",
};

class Filter {
  public:
    Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM)), seccomp_release) {}

    bool ok() const { return context_ != nullptr && failure_ == 0; }
    int failure() const { return context_ == nullptr ? ENOMEM : -failure_; }
    scmp_filter_ctx context() const { return context_.get(); }

    void allow(const char* name) { add(name, {}); }
    void allow(const char* name, std::initializer_list<scmp_arg_cmp> conditions) {
        add(name, conditions);
    }
    void allow_values(const char* name, unsigned argument, std::initializer_list<uint64_t> values) {
        for (const uint64_t value : values) {
            add(name, {scmp_arg_cmp{argument, SCMP_CMP_EQ, value, 0}});
        }
    }
    // Where none of these bits is set.
    void allow_without(const char* name, unsigned argument, uint64_t bits) {
        add(name, {scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, bits, 0}});
    }

  private:
    void add(const char* name, std::initializer_list<scmp_arg_cmp> conditions) {
        if (!ok()) return;
        const int number = seccomp_syscall_resolve_name(name);
        // Below zero: unknown to libseccomp, or a call that this architecture does not have.
        if (number < 0) return;
        failure_ =
            seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, number,
                                   static_cast<unsigned>(conditions.size()), conditions.begin());
    }

    std::unique_ptr<void, decltype(&seccomp_release)> context_;
    int failure_ = 0;
};

void allow_launch(Filter& filter) {
    for (const char* name : kLaunchOnly) filter.allow(name);
    constexpr uint64_t kWriting = O_ACCMODE | O_CREAT | O_TRUNC;
    filter.allow_without("open", 1, kWriting);
    filter.allow_without("openat", 2, kWriting);
    // Not F_SETOWN: the kernel would send SIGIO to whom it names.
    filter.allow_values("fcntl", 1,
                        {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_GET_SEALS});
    filter.allow_values("ioctl", 1, {TCGETS, TIOCGWINSZ, FIOCLEX, FIONCLEX});
    // Not PR_SET_PDEATHSIG: it dies with the daemon.
    filter.allow_values(
        "prctl", 0, {PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_NAME, PR_CAPBSET_READ, kPrSetVma});
    filter.allow("prctl", {scmp_arg_cmp{0, SCMP_CMP_EQ, PR_SET_DUMPABLE, 0},
                           scmp_arg_cmp{1, SCMP_CMP_EQ, 0, 0}});
    // AddressSanitizer asks what it is; nobody changes it.
    filter.allow_values("personality", 0, {0xffffffff});
    // Its own limits, which are hard: the daemon's user is the same.
    filter.allow_values("prlimit64", 0, {0});
}

}  // namespace

Result<std::vector<sock_filter>> make_syscall_filter(FilterStage stage) {
    Filter filter;
    for (const char* name : kAlways) filter.allow(name);
    if (stage == FilterStage::kLaunch) {
        allow_launch(filter);
    } else {
        filter.allow_without("mmap", 2, PROT_EXEC);
        filter.allow_without("mprotect", 2, PROT_EXEC);
    }
    if (!filter.ok()) {
        return errno_error("cannot make a filter of system calls", filter.failure());
    }
    const Result<UniqueFd> file = create_memfd("pycds-filter");
    if (!file) return file.error();
    if (const int status = seccomp_export_bpf(filter.context(), file->get()); status != 0) {
        return errno_error("cannot make a filter of system calls", -status);
    }
    const int64_t size = regular_file_size(file->get());
    std::vector<sock_filter> program(static_cast<size_t>(size) / sizeof(sock_filter));
    if (pread(file->get(), program.data(), static_cast<size_t>(size), 0) != size) {
        return errno_error("cannot read a filter of system calls back");
    }
    return program;
}

}  // namespace pycds::build
