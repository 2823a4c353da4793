// Memory that nobody can change any more: a memfd with all four seals (memfd_create(2),
// fcntl(2) F_ADD_SEALS). Both the daemon that makes one and the client that gets one read the
// seals back; a descriptor without them is a stranger's file.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdint>

#include "src/common/os/unique_fd.h"

#ifdef PYCDS_FREESTANDING
#define PYCDS_HAS_RESULT 0
#else
#define PYCDS_HAS_RESULT 1
#include <span>
#include <string>

#include "src/common/base/result.h"
#endif

namespace pycds {

// WRITE: no byte changes, and no shared writable mapping exists or can be made (FUTURE_WRITE
// would leave an existing one alone). SHRINK: no SIGBUS through the owner. GROW, SEAL: what was
// checked stays what it was.
inline constexpr int kImageSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// Does `fd` carry all of kImageSeals? False also for anything that is not a memfd. Freestanding.
inline bool has_image_seals(int fd) {
    const int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & kImageSeals) == kImageSeals;
}

// Size in bytes of the regular file behind `fd`, or -1. Freestanding.
inline int64_t regular_file_size(int fd) {
    struct stat st {};
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return -1;
    return st.st_size;
}

#if PYCDS_HAS_RESULT

// An unsealed memfd that the caller fills; close-on-exec. `name` shows in /proc/PID/maps.
Result<UniqueFd> create_memfd(const std::string& name);

// Seals a memfd of create_memfd() and reads the seals back.
Status seal(int fd);

// A new memfd holding a copy of `bytes`, sealed, its seals read back. Every page is filled by the
// caller's process, hence charged to its memory cgroup (cgroup-v2, "Memory Ownership").
Result<UniqueFd> make_sealed_copy(const std::string& name, std::span<const std::byte> bytes);

// Asks the kernel to keep the pages of a memfd in units of 2 MiB (MADV_COLLAPSE, Linux 6.1), which
// costs no memory for one whose pages are all filled: who maps it then takes one page fault where
// it took 32, and needs fewer entries of page tables and TLB. Takes milliseconds per MiB at worst.
// Where it cannot be done nothing changes.
void use_huge_pages(int fd, size_t size);

#endif

}  // namespace pycds
