#include "daemon/core/image_import.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "src/common/base/text.h"
#include "src/common/image/format.h"
#include "src/common/image/validator.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::core {
namespace {

struct FreeBytes {
    void operator()(std::byte* bytes) const { ::operator delete(bytes, kAlignment); }
    static constexpr std::align_val_t kAlignment{64};
};

struct Copy {
    std::unique_ptr<std::byte, FreeBytes> bytes;
    size_t size = 0;
    std::span<const std::byte> span() const { return {bytes.get(), size}; }
};

Error too_large(uint64_t size, uint64_t limit) {
    return Error{ErrorCode::kUnavailable, "the image has " + human_size(size) + ", the budget is " +
                                              human_size(limit) +
                                              "; build fewer modules or raise image-budget"};
}

// pread, not mmap: something that the builder left behind may still shrink or write the file.
Result<Copy> copy_output(int fd, uint64_t max_size) {
    const int64_t size = regular_file_size(fd);
    if (size <= 0) return Error{ErrorCode::kBuildFailed, "the builder wrote no image"};
    const uint64_t limit = std::min(max_size, image::kMaxImageSize);
    if (static_cast<uint64_t>(size) > limit) return too_large(static_cast<uint64_t>(size), limit);
    Copy copy;
    copy.size = static_cast<size_t>(size);
    copy.bytes.reset(
        static_cast<std::byte*>(::operator new(copy.size, FreeBytes::kAlignment, std::nothrow)));
    if (!copy.bytes) {
        return Error{ErrorCode::kUnavailable, "no memory for an image of " + human_size(copy.size)};
    }
    size_t done = 0;
    while (done < copy.size) {
        const ssize_t n =
            pread(fd, copy.bytes.get() + done, copy.size - done, static_cast<off_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error("cannot read the image of the builder");
        if (n == 0) return Error{ErrorCode::kBuildFailed, "the image shrank while it was read"};
        done += static_cast<size_t>(n);
    }
    return copy;
}

Status compare(const image::Header& header, const ExpectedImage& expected) {
    const char* differs = nullptr;
    const bool user = expected.domain == wire::Domain::kUser;
    if (header.requested_base != image::requested_base_of_slot(expected.slot)) {
        differs = "requested base";
    } else if (header.generation != expected.generation) {
        differs = "generation";
    } else if (header.domain != (user ? image::DomainKind::kUser : image::DomainKind::kSystem)) {
        differs = "domain";
    } else if (header.domain_uid != (user ? expected.domain_uid : 0)) {
        differs = "uid of the domain";
    } else if (header.interpreter.optimize != expected.optimize) {
        differs = "optimisation level";
    }
    if (differs == nullptr) return Ok{};
    return Error{
        ErrorCode::kBuildFailed,
        std::string("the builder made another image than asked for: its ") + differs + " differs"};
}

// The paths of a plan as the builder was given it.
class AskedPaths {
  public:
    explicit AskedPaths(std::string_view plan) {
        for (size_t end = 0; (end = plan.find('\0')) != std::string_view::npos;) {
            const std::string_view path = plan.substr(0, end);
            paths_.insert(path);
            if (path.size() > image::kMaxPathSize) cut_.insert(path.substr(0, image::kMaxPathSize));
            plan.remove_prefix(end + 1);
        }
    }
    bool hold(std::string_view path) const { return paths_.contains(path); }
    // Is it the beginning, as a left-out record has it, of one that is too long?
    bool hold_cut(std::string_view path) const { return cut_.contains(path); }

  private:
    std::unordered_set<std::string_view> paths_;
    std::unordered_set<std::string_view> cut_;
};

template <typename Record>
Record record_at(std::span<const std::byte> bytes, const image::RegionEntry& region, uint64_t i) {
    Record record;
    std::memcpy(&record, bytes.data() + region.offset + i * sizeof record, sizeof record);
    return record;
}

// Only for a valid image.
Status check_paths(std::span<const std::byte> bytes, const image::Header& header,
                   const std::string& plan) {
    const AskedPaths asked(plan);
    const image::RegionEntry* paths = image::find_region(header, image::RegionKind::kPaths);
    const auto text = [&](const auto& record) {
        const std::byte* begin = bytes.data() + paths->offset + record.path_offset;
        return std::string_view(reinterpret_cast<const char*>(begin), record.path_size);
    };
    const auto not_asked_for = [](std::string_view path) {
        return Error{ErrorCode::kBuildFailed,
                     "the builder returned a module that was not asked for: " + std::string(path)};
    };
    const image::RegionEntry* roots = image::find_region(header, image::RegionKind::kRoots);
    for (uint64_t i = 0; roots != nullptr && i < roots->count; ++i) {
        const std::string_view path = text(record_at<image::RootRecord>(bytes, *roots, i));
        if (!asked.hold(path)) return not_asked_for(path);
    }
    const image::RegionEntry* left_out = image::find_region(header, image::RegionKind::kLeftOut);
    for (uint64_t i = 0; left_out != nullptr && i < left_out->count; ++i) {
        const auto record = record_at<image::LeftOutRecord>(bytes, *left_out, i);
        const std::string_view path = text(record);
        const bool cut = record.reason == image::LeftOutReason::kPath && asked.hold_cut(path);
        if (!cut && !asked.hold(path)) return not_asked_for(path);
    }
    return Ok{};
}

std::vector<wire::LeftOutCount> count_left_out(std::span<const std::byte> bytes,
                                               const image::Header& header) {
    const image::RegionEntry* region = image::find_region(header, image::RegionKind::kLeftOut);
    std::map<image::LeftOutReason, uint32_t> counts;
    for (uint64_t i = 0; region != nullptr && i < region->count; ++i) {
        ++counts[record_at<image::LeftOutRecord>(bytes, *region, i).reason];
    }
    std::vector<wire::LeftOutCount> out;
    for (const auto& [reason, count] : counts) {
        out.push_back(wire::LeftOutCount{image::left_out_reason_name(reason), count});
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const auto& a, const auto& b) { return a.count > b.count; });
    return out;
}

uint32_t table_count(const image::Header& header, image::RegionKind kind) {
    const image::RegionEntry* region = image::find_region(header, kind);
    return region == nullptr ? 0 : static_cast<uint32_t>(region->count);
}

}  // namespace

wire::ImageInfo describe_image(const image::Header& header) {
    wire::ImageInfo info;
    info.id = ImageStore::id_of_generation(header.generation);
    std::memcpy(info.identity.data(), header.prefix.identity, info.identity.size());
    info.python = header.python;
    info.generation = header.generation;
    const bool user = header.domain == image::DomainKind::kUser;
    info.domain = user ? wire::Domain::kUser : wire::Domain::kSystem;
    info.domain_uid = user ? header.domain_uid : 0;
    info.size = header.prefix.image_size;
    info.requested_base = header.requested_base;
    info.runtime_base = header.runtime_base;
    info.roots = table_count(header, image::RegionKind::kRoots);
    info.left_out = table_count(header, image::RegionKind::kLeftOut);
    return info;
}

Result<ImportedImage> import_image(int output_fd, const ExpectedImage& expected) {
    Result<Copy> copy = copy_output(output_fd, expected.max_size);
    if (!copy) return copy.error();
    const std::span<const std::byte> bytes = copy->span();
    const image::Verdict verdict = image::validate_image(bytes.data(), bytes.size());
    if (!verdict.ok()) {
        return Error{ErrorCode::kBuildFailed,
                     std::string("the builder made an image that is not valid: ") +
                         image::defect_text(verdict.defect) + " at offset " +
                         std::to_string(verdict.offset)};
    }
    image::Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const Status same = compare(header, expected);
    if (!same) return same.error();
    if (!expected.any_paths) {
        const Status asked_for = check_paths(bytes, header, expected.plan);
        if (!asked_for) return asked_for.error();
    }

    ImportedImage imported;
    imported.image.info = describe_image(header);
    imported.image.checksum = header.prefix.checksum;
    imported.left_out = count_left_out(bytes, header);
    Result<UniqueFd> sealed = make_sealed_copy("pycds-" + imported.image.info.id, bytes);
    if (!sealed) return sealed.error();
    use_huge_pages(sealed->get(), bytes.size());
    imported.image.fd = std::move(*sealed);
    return imported;
}

}  // namespace pycds::core
