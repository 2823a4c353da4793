// Why a source cannot be in an image that everybody maps: the daemon takes for those only what is
// root's, safe from everybody else and readable by all, with every directory above it
// (daemon/policy decides that, and client/builder of the .pyc; a test compares). Here it is only
// explained.
#pragma once

#include <optional>
#include <string>

namespace pycds::ctl {

struct Distrust {
    std::string path;  // the file, directory or symbolic link that it lies with; any bytes
    std::string what;  // "belongs to uid 1000", to follow the path
};

// The first thing on the way to `source` (absolute) or to its `pyc` that is not as it should be, as
// far as the caller may see it.
std::optional<Distrust> find_distrust(const std::string& source, const std::string& pyc);

}  // namespace pycds::ctl
