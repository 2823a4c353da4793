#include "src/common/image/rebase.h"

#include <algorithm>

#include "src/common/image/checksum.h"
#include "src/common/image/format.h"
#include "src/common/image/validator.h"

namespace pycds::image {
bool rebase(std::byte* image, uint64_t runtime_base) {
    auto& header = *reinterpret_cast<Header*>(image);
    if (header.runtime_base == 0 || runtime_base == 0) return false;
    // Wraps around for a smaller address, as it should.
    const uint64_t delta = runtime_base - header.runtime_base;
    const RegionEntry& region = *find_region(header, RegionKind::kExternals);
    auto* externals = reinterpret_cast<ExternalReference*>(image + region.offset);
    // What moves lies between these, and nothing else does.
    uint64_t lowest = ~uint64_t{0};
    uint64_t highest = 0;
    for (uint64_t i = 0; i < region.count; ++i) {
        if (!moves_with_interpreter(externals[i].kind)) continue;
        lowest = std::min(lowest, externals[i].address);
        highest = std::max(highest, externals[i].address);
        externals[i].address += delta;
    }
    std::sort(externals, externals + region.count,
              [](const auto& a, const auto& b) { return a.address < b.address; });

    const RegionEntry& ptrmap = *find_region(header, RegionKind::kPtrmapExternal);
    const auto* marks = reinterpret_cast<const uint64_t*>(image + ptrmap.offset);
    auto* words = reinterpret_cast<uint64_t*>(image + header.objects_begin);
    for (uint64_t i = 0; i < ptrmap.count; ++i) {
        for (uint64_t rest = marks[i]; rest != 0; rest &= rest - 1) {
            uint64_t& word = words[i * 64 + static_cast<uint64_t>(__builtin_ctzll(rest))];
            if (word >= lowest && word <= highest) word += delta;
        }
    }
    header.runtime_base = runtime_base;
    header.prefix.header_checksum = header_checksum(header);
    header.prefix.checksum = image_checksum(image, header.prefix.image_size);
    return true;
}

}  // namespace pycds::image
