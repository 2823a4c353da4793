#include "client/builder/confinement.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

namespace pycds::builder {

Status confine(int filter_fd) {
    std::array<sock_filter, BPF_MAXINSNS> program{};
    const ssize_t size = pread(filter_fd, program.data(), sizeof program, 0);
    if (size <= 0 || static_cast<size_t>(size) % sizeof(sock_filter) != 0) {
        return Error{ErrorCode::kBuildFailed, "the filter of system calls cannot be read"};
    }
    const sock_fprog filter{
        static_cast<unsigned short>(static_cast<size_t>(size) / sizeof(sock_filter)),
        program.data()};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        return errno_error("the builder cannot confine itself (seccomp)");
    }
    return Ok{};
}

}  // namespace pycds::builder
