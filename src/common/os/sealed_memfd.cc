#include "src/common/os/sealed_memfd.h"

#include <cerrno>

namespace pycds {
namespace {

// Since Linux 6.3; an image is data and must never be executable (vm.memfd_noexec, memfd_create(2)).
#ifndef MFD_NOEXEC_SEAL
constexpr unsigned kNoExecSeal = 0x0008U;
#else
constexpr unsigned kNoExecSeal = MFD_NOEXEC_SEAL;
#endif

}  // namespace

Result<UniqueFd> create_memfd(const std::string& name) {
    int fd = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return errno_error("cannot create a memfd");
    return UniqueFd(fd);
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
    if (fcntl(fd->get(), F_ADD_SEALS, kImageSeals) != 0) return errno_error("cannot seal a memfd");
    if (!has_image_seals(fd->get())) {
        return Error{ErrorCode::kSystem, "a sealed memfd does not show its seals"};
    }
    return fd;
}

}  // namespace pycds
