#include "daemon/build/sandbox.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <span>
#include <utility>

#include "daemon/build/landlock.h"
#include "daemon/build/syscall_filter.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::build {

Result<Sandbox> Sandbox::make() {
    // With a program at no address: EFAULT if the kernel would take one, else EINVAL (prctl(2)).
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr) != 0 && errno != EFAULT) {
        return errno_error(
            "builders run only where system calls can be filtered, and here they cannot (seccomp)");
    }
    Sandbox out;
    Result<std::vector<sock_filter>> launch = make_syscall_filter(FilterStage::kLaunch);
    if (!launch) return launch.error();
    out.launch_filter_ = std::move(*launch);
    const Result<std::vector<sock_filter>> confining = make_syscall_filter(FilterStage::kConfined);
    if (!confining) return confining.error();
    Result<UniqueFd> file = make_sealed_copy("pycds-filter", std::as_bytes(std::span(*confining)));
    if (!file) return file.error();
    out.confining_filter_ = std::move(*file);
    out.landlock_version_ = landlock_version();
    return out;
}

Result<UniqueFd> Sandbox::ruleset(const std::vector<std::string>& readable) const {
    if (landlock_version_ == 0) return UniqueFd();
    return make_ruleset(readable);
}

}  // namespace pycds::build
