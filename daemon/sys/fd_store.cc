#include "daemon/sys/fd_store.h"

#include <systemd/sd-daemon.h>

#include <unistd.h>

#include <algorithm>
#include <span>

#include "daemon/core/kept_image.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::sys {
namespace {

constexpr char kSeedName[] = "hash-seed";

// Other than images it is what it is in a daemon of any version.
uint32_t read_seed(int fd) {
    uint32_t seed = 0;
    const bool whole = has_image_seals(fd) && regular_file_size(fd) == sizeof seed &&
                       pread(fd, &seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed);
    return whole ? seed : 0;
}

void store(const std::string& name, int fd) {
    const std::string state = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name;
    sd_pid_notify_with_fds(0, 0, state.c_str(), &fd, 1);
}

}  // namespace

void FdStore::keep(const core::StoredImage& image) {
    store(kept_name(image, version_).text(), image.fd->get());
}

void FdStore::forget(const core::StoredImage& image) {
    remove(kept_name(image, version_).text());
}

void FdStore::remove(const std::string& name) {
    // A name that could carry another assignment never came from us.
    if (name.find('\n') != std::string::npos) return;
    sd_notify(0, ("FDSTOREREMOVE=1\nFDNAME=" + name).c_str());
}

void FdStore::keep_hash_seed(uint32_t seed) {
    const Result<UniqueFd> sealed = make_sealed_copy("pycds-hash-seed", std::as_bytes(std::span(&seed, 1)));
    // Not kept, it ends with the daemon.
    if (sealed) store(kSeedName, sealed->get());
}

uint32_t FdStore::take_hash_seed(std::vector<StoredDescriptor>& stored) {
    uint32_t seed = 0;
    std::erase_if(stored, [&](const StoredDescriptor& descriptor) {
        if (descriptor.name != kSeedName) return false;
        seed = read_seed(descriptor.fd.get());
        return true;
    });
    return seed;
}

}  // namespace pycds::sys
