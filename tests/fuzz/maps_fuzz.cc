// What pycdsctl parses of /proc/PID/maps and pagemap. Names in it are chosen by the process that is
// looked at. Beyond not crashing: what is found lies within the image.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "ctl/pages/proc_parse.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace pycds::ctl;
    const auto maps = parse_maps({reinterpret_cast<const char*>(data), size});
    if (maps) {
        constexpr uint64_t kPages = 100;
        for (const MapsEntry& entry : *maps) {
            require(entry.begin < entry.end);
            for (const MappedRun& run : runs_of(*maps, entry.file, kPages)) {
                require(run.pages > 0 && run.first_page < kPages);
                require(run.pages <= kPages - run.first_page);
            }
        }
    }
    std::vector<PageState> states(size / 4);
    merge_pagemap(std::as_bytes(std::span(data, size)), states);
    return 0;
}
