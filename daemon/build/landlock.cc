#include "daemon/build/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace pycds::build {
namespace {

// linux/landlock.h of Linux 6.12: what older headers do not have. A kernel that does not know a
// member takes a shorter struct.
struct RulesetAttributes {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};
constexpr uint64_t kRefer = 1U << 13;
constexpr uint64_t kTruncate = 1U << 14;
constexpr uint64_t kIoctlDev = 1U << 15;
constexpr uint64_t kNetTcp = 3;
constexpr uint64_t kScopeAbstractSocketsAndSignals = 3;

constexpr uint64_t kFirstAccesses = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
constexpr uint64_t kReadFile = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;

}  // namespace

int landlock_version() {
    const long version =
        syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? 0 : static_cast<int>(version);
}

Result<UniqueFd> make_ruleset(const std::vector<std::string>& readable) {
    const int version = landlock_version();
    RulesetAttributes attributes{kFirstAccesses, 0, 0};
    size_t size = sizeof attributes.handled_access_fs;
    if (version >= 2) attributes.handled_access_fs |= kRefer;
    if (version >= 3) attributes.handled_access_fs |= kTruncate;
    if (version >= 4) {
        attributes.handled_access_net = kNetTcp;
        size = offsetof(RulesetAttributes, scoped);
    }
    if (version >= 5) attributes.handled_access_fs |= kIoctlDev;
    if (version >= 6) {
        attributes.scoped = kScopeAbstractSocketsAndSignals;
        size = sizeof attributes;
    }
    UniqueFd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
    if (!ruleset) return errno_error("cannot make a Landlock ruleset");
    for (const std::string& path : readable) {
        if (!allow_reading(ruleset.get(), path.c_str()) && errno != ENOENT && errno != ENOTDIR &&
            errno != EACCES) {
            return errno_error("cannot let builders read " + path);
        }
    }
    return ruleset;
}

bool allow_reading(int ruleset, const char* path) {
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return false;
    struct stat st {};
    landlock_path_beneath_attr rule{};
    rule.parent_fd = fd;
    rule.allowed_access = kReadFile;
    bool done = fstat(fd, &st) == 0;
    if (S_ISDIR(st.st_mode)) rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
    done =
        done && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    const int failure = errno;
    close(fd);
    errno = failure;
    return done;
}

bool restrict_to(int ruleset) {
    return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}

}  // namespace pycds::build
