// What pycdsctl doctor found out, check by check.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "src/common/base/result.h"

namespace pycds::ctl {

enum class Level { kOk, kWarning, kProblem };

struct Check {
    std::string name;  // stable, for scripts
    Level level = Level::kOk;
    std::string sentence;  // any bytes
};

struct Diagnosis {
    std::vector<Check> checks;

    void add(std::string_view name, Level level, std::string sentence) {
        checks.push_back({std::string(name), level, std::move(sentence)});
    }
    // Sharing works if nothing is a problem.
    const Check* problem() const;
};

// Of a process that runs, by what /proc tells. kNotFound, kPermissionDenied.
Result<Diagnosis> diagnose_process(pid_t pid);

}  // namespace pycds::ctl
