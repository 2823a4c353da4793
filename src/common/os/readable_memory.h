// Is there memory at an address that nobody vouches for? Freestanding.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace pycds {

// Can the 16 bytes at `address`, a multiple of 16, be read? rt_sigprocmask(2) copies the set before
// it looks at what to do with it, which is nothing here: EINVAL if it could, EFAULT if not.
// (process_vm_readv(2) is not for everybody: builders are confined.) Leaves errno as it was.
inline bool is_readable(uint64_t address) {
    constexpr int kNothing = -1;
    constexpr size_t kKernelSetSize = 8;
    const int before = errno;
    const bool failed =
        syscall(SYS_rt_sigprocmask, kNothing, address, nullptr, kKernelSetSize) != 0;
    const bool readable = failed && errno == EINVAL;
    errno = before;
    return readable;
}

}  // namespace pycds
