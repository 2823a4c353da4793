// Where the code of a source file is kept.
#pragma once

#include <string>

namespace pycds::image {

// importlib.util.cache_from_source() for a source path without sys.pycache_prefix. `optimize`: 0, 1
// or 2.
std::string pyc_path(const std::string& source, const std::string& cache_tag, int optimize);

}  // namespace pycds::image
