#include "src/common/os/sealed_memfd.h"

#include <sys/mman.h>

#include <cerrno>

#include "src/common/base/checked.h"

namespace pycds {
namespace {

// Since Linux 6.3; an image is data and must never be executable (vm.memfd_noexec,
// memfd_create(2)).
#ifndef MFD_NOEXEC_SEAL
constexpr unsigned kNoExecSeal = 0x0008U;
#else
constexpr unsigned kNoExecSeal = MFD_NOEXEC_SEAL;
#endif

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

Result<UniqueFd> create_memfd(const std::string& name) {
    int fd = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return errno_error("cannot create a memfd");
    return UniqueFd(fd);
}

Status seal(int fd) {
    if (fcntl(fd, F_ADD_SEALS, kImageSeals) != 0) return errno_error("cannot seal a memfd");
    if (!has_image_seals(fd)) {
        return Error{ErrorCode::kSystem, "a sealed memfd does not show its seals"};
    }
    return Ok{};
}

Result<UniqueFd> make_sealed_copy(const std::string& name, std::span<const std::byte> bytes) {
    Result<UniqueFd> fd = create_memfd(name);
    if (!fd) return fd;
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t n = write(fd->get(), bytes.data() + done, bytes.size() - done);
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno_error("cannot fill a memfd of " + std::to_string(bytes.size()) + " bytes");
        }
        done += static_cast<size_t>(n);
    }
    const Status sealed = seal(fd->get());
    if (!sealed) return sealed.error();
    return fd;
}

void use_huge_pages(int fd, size_t size) {
    const size_t whole = size / kHugePage * kHugePage;
    if (whole == 0) return;
    // Only a mapping that starts at a multiple of the unit can be collapsed.
    const size_t room = whole + kHugePage;
    void* reserved =
        mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return;
    auto* aligned = reinterpret_cast<void*>(
        align_up(reinterpret_cast<uint64_t>(reserved), uint64_t{kHugePage}));
    if (mmap(aligned, whole, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED) {
        madvise(aligned, whole, MADV_COLLAPSE);
    }
    munmap(reserved, room);
}

}  // namespace pycds
