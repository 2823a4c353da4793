#include "ctl/image_tables.h"

#include <span>

#include "src/common/image/validator.h"

namespace pycds::ctl {
namespace {

using image::RegionKind;

const image::Header& header_of(std::span<const std::byte> bytes) {
    return *reinterpret_cast<const image::Header*>(bytes.data());
}

int64_t nanoseconds(const timespec& time) {
    return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
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
        // The number of a file that is gone is given to another.
        if (root.file_dev == pyc.st_dev && root.file_ino == pyc.st_ino &&
            root.file_size == static_cast<uint64_t>(pyc.st_size) &&
            root.file_mtime_ns == nanoseconds(pyc.st_mtim) &&
            root.file_ctime_ns == nanoseconds(pyc.st_ctim)) {
            source = std::string(path(root.path_offset, root.path_size));
        }
        return !source;
    });
    return source;
}

}  // namespace pycds::ctl
