#include "daemon/sys/fd_store.h"

#include <systemd/sd-daemon.h>

#include <algorithm>

#include "daemon/core/kept_image.h"

namespace pycds::sys {

void FdStore::keep(const core::StoredImage& image) {
    const std::string state = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + kept_name(image, version_).text();
    const int fd = image.fd->get();
    sd_pid_notify_with_fds(0, 0, state.c_str(), &fd, 1);
}

void FdStore::forget(const core::StoredImage& image) {
    remove(kept_name(image, version_).text());
}

void FdStore::remove(const std::string& name) {
    // A name that could carry another assignment never came from us.
    if (name.find('\n') != std::string::npos) return;
    sd_notify(0, ("FDSTOREREMOVE=1\nFDNAME=" + name).c_str());
}

}  // namespace pycds::sys
