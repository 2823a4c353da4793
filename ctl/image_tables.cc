#include "ctl/image_tables.h"

#include <span>

#include "src/common/image/pyc_stat.h"
#include "src/common/image/validator.h"

namespace pycds::ctl {
namespace {

using image::RegionKind;

const image::Header& header_of(std::span<const std::byte> bytes) {
    return *reinterpret_cast<const image::Header*>(bytes.data());
}

}  // namespace

Result<ImageTables> ImageTables::open(LoadedImage image, const std::string& name) {
    // It is followed only where the validator has been.
    const std::span<const std::byte> bytes = image.bytes();
    const Status valid = judge(name, image::validate_image(bytes.data(), bytes.size()));
    if (!valid) return valid.error();
    return ImageTables(std::move(image));
}

// Until `visit` returns false.
template <typename Record, typename Visit>
void ImageTables::for_each(RegionKind kind, Visit visit) const {
    const image::RegionEntry& region = *image::find_region(header_of(image_.bytes()), kind);
    const auto* records = reinterpret_cast<const Record*>(image_.bytes().data() + region.offset);
    for (uint64_t i = 0; i < region.count; ++i) {
        if (!visit(records[i])) return;
    }
}

std::string_view ImageTables::path(uint32_t offset, uint32_t size) const {
    const image::RegionEntry& region =
        *image::find_region(header_of(image_.bytes()), RegionKind::kPaths);
    return {reinterpret_cast<const char*>(image_.bytes().data() + region.offset + offset), size};
}

bool ImageTables::has_root(std::string_view source) const {
    bool found = false;
    for_each<image::RootRecord>(RegionKind::kRoots, [&](const image::RootRecord& root) {
        found = path(root.path_offset, root.path_size) == source;
        return !found;
    });
    return found;
}

std::optional<image::LeftOutReason> ImageTables::why_left_out(std::string_view source) const {
    std::optional<image::LeftOutReason> why;
    for_each<image::LeftOutRecord>(RegionKind::kLeftOut, [&](const image::LeftOutRecord& record) {
        if (path(record.path_offset, record.path_size) == source) why = record.reason;
        return !why;
    });
    return why;
}

std::optional<std::string> ImageTables::source_of_pyc(const struct stat& pyc) const {
    std::optional<std::string> source;
    for_each<image::RootRecord>(RegionKind::kRoots, [&](const image::RootRecord& root) {
        if (same_pyc(pyc, root)) source = std::string(path(root.path_offset, root.path_size));
        return !source;
    });
    return source;
}

}  // namespace pycds::ctl
