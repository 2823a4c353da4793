// What of the file system a process may read: Landlock (landlock(7), Linux 5.13). With it nothing
// can be written, whatever descriptor is made how; processes outside cannot be traced, nor their
// /proc files read; and, as far as the kernel knows how (4th and 6th ABI), no TCP port bound or
// connected to and no signal sent to them.
#pragma once

#include <string>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::build {

// Version of the kernel's ABI, 0 where it has no Landlock or has it switched off.
int landlock_version();

// A ruleset that lets read and execute what is beneath these paths (or is them); what is not there
// is passed over. For restrict_to().
Result<UniqueFd> make_ruleset(const std::vector<std::string>& readable);

// Adds one path more. Async-signal-safe, as the next. False: errno says why.
bool allow_reading(int ruleset, const char* path);

// Confines the calling thread and all its children, for good. It must have no_new_privs (prctl(2)).
bool restrict_to(int ruleset);

}  // namespace pycds::build
