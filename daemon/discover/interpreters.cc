#include "daemon/discover/interpreters.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "src/common/base/log.h"
#include "src/common/base/text.h"

namespace pycds::discover {
namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path& path) {
    struct stat st {};
    return stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

}  // namespace

bool is_interpreter_name(std::string_view name) {
    constexpr std::string_view kStart = "python3.";
    if (!name.starts_with(kStart)) return false;
    name.remove_prefix(kStart.size());
    return !name.empty() && name.size() <= 2 &&
           name.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<std::string> Interpreters::find(const std::vector<std::string>& configured) const {
    std::vector<fs::path> candidates(configured.begin(), configured.end());
    for (const std::string& directory : directories_) {
        std::error_code failure;
        std::vector<fs::path> here;
        for (fs::directory_iterator it(directory, failure), end; !failure && it != end;
             it.increment(failure)) {
            if (is_interpreter_name(it->path().filename().native())) here.push_back(it->path());
        }
        std::sort(here.begin(), here.end());
        candidates.insert(candidates.end(), here.begin(), here.end());
    }
    std::vector<std::string> found;
    std::set<std::string> seen;
    std::set<std::string> missing;
    for (const fs::path& candidate : candidates) {
        std::error_code failure;
        const fs::path real = fs::canonical(candidate, failure);
        if (failure || !is_program(real)) {
            // The others are links to what is not installed.
            const bool is_configured = &candidate < candidates.data() + configured.size();
            if (is_configured && missing.insert(candidate.native()).second &&
                !missing_.contains(candidate.native())) {
                log_notice("no interpreter at " + printable(candidate.native()));
            }
            continue;
        }
        if (seen.insert(real.native()).second) found.push_back(real.native());
    }
    missing_ = std::move(missing);
    return found;
}

}  // namespace pycds::discover
