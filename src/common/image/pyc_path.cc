#include "src/common/image/pyc_path.h"

namespace pycds::image {

std::string pyc_path(const std::string& source, const std::string& cache_tag, int optimize) {
    const size_t slash = source.rfind('/');
    const std::string directory = slash == std::string::npos ? "" : source.substr(0, slash + 1);
    const std::string tail = slash == std::string::npos ? source : source.substr(slash + 1);
    const size_t dot = tail.rfind('.');
    const bool has_base = dot != std::string::npos && dot != 0;
    const std::string base = has_base                   ? tail.substr(0, dot)
                             : dot == std::string::npos ? tail
                                                        : tail.substr(dot + 1);
    const std::string separator = dot == std::string::npos ? "" : ".";
    const std::string suffix = optimize == 0 ? "" : ".opt-" + std::to_string(optimize);
    return directory + "__pycache__/" + base + separator + cache_tag + suffix + ".pyc";
}

}  // namespace pycds::image
