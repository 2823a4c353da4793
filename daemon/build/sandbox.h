// What confines builders and planners: filters of system calls (seccomp(2), through libseccomp)
// and, where the kernel has it, Landlock. Made once, used for each.
//
// Without seccomp there are no builders: bytes of others are read in them. Without Landlock there
// are: what it adds is that reading files, too, is confined while the builder starts, before a byte
// of a source is believed.
#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::build {

class Sandbox {
  public:
    static Result<Sandbox> make();

    // To be installed before execve(2).
    const std::vector<sock_filter>& launch_filter() const { return launch_filter_; }
    // A sealed memfd: the array of sock_filter that the builder itself installs when it has read
    // its input (client/builder/PROTOCOL.md).
    int confining_filter() const { return confining_filter_.get(); }

    // A Landlock ruleset (landlock.h); empty where the kernel has none.
    Result<UniqueFd> ruleset(const std::vector<std::string>& readable) const;
    bool confines_reading() const { return landlock_version_ > 0; }

  private:
    Sandbox() = default;

    std::vector<sock_filter> launch_filter_;
    UniqueFd confining_filter_;
    int landlock_version_ = 0;
};

}  // namespace pycds::build
