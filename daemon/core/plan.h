// The list of sources that a peer wants in an image.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"
#include "src/common/wire/messages.h"

namespace pycds::core {

inline constexpr size_t kMaxPlanBytes = size_t{16} << 20;
inline constexpr size_t kMaxPlanEntries = 200'000;

// Is `fd` something that can be a plan: a regular file or memfd of at most kMaxPlanBytes? Cheap.
Status check_plan_fd(int fd);

// The paths in a plan descriptor as a peer sends it (proto/pycds.proto, BuildRequest): each ended
// by a NUL. Read, not mapped: the peer may shrink the file meanwhile.
Result<std::vector<std::string>> read_plan(int fd);

// What the planner found for an image that the daemon makes by itself (builder_launcher.h).
struct SystemPlan {
    uint64_t fingerprint = 0;  // of all that the image would be made from
    UniqueFd plan;             // as a peer would send it
    // Where those files are, and their .pyc files: a change of them shows there. And where there
    // were none that can go into an image, but may be: what is installed slowly is compiled last.
    std::vector<std::string> directories;
};

// Reads the planner's output: `fingerprint HEX`, any number of `directory PATH`, then the paths of
// the sources, each ended by a NUL.
Result<SystemPlan> read_system_plan(int fd);

// The share of a plan that goes into one image; never empty.
struct PlanPart {
    uint32_t slot = 0;
    wire::Domain domain = wire::Domain::kSystem;
    uid_t domain_uid = 0;
    std::string entries;  // as the builder reads them (client/builder/PROTOCOL.md)
    uint32_t count = 0;   // entries
};

struct SplitPlan {
    std::vector<PlanPart> parts;
    uint32_t refused = 0;  // sources that may go nowhere
    std::string interpreter;  // its path without symbolic links
};

// A part without sources for the images of one uid.
PlanPart user_part(uid_t uid);

// `domains[i]` says where `paths[i]` may go. What may go nowhere is only counted: an image tells
// whoever may map it the paths that it knows of. `uid` is that of the user domain.
SplitPlan split_plan(const std::vector<std::string>& paths,
                     const std::vector<wire::Domain>& domains, uid_t uid);

}  // namespace pycds::core
