#include "client/loader/mapped_image.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "src/common/image/checksum.h"
#include "src/common/image/validator.h"
#include "src/common/os/sealed_memfd.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace pycds::loader {
namespace {

using image::Header;
using image::RegionKind;

// A process under a limit of address space, or of writable memory, may need what is left of it.
bool room_for(uint64_t size, decltype(RLIMIT_AS) resource) {
    constexpr uint64_t kPart = 16;
    rlimit limit{};
    return getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           size <= limit.rlim_cur / kPart;
}

bool is_slot_base(uint64_t base) {
    for (uint32_t slot = 0; slot < image::kSlots; ++slot) {
        if (base == image::requested_base_of_slot(slot)) return true;
    }
    return false;
}

}  // namespace

const char* MappedImage::map(int fd, const Expectation& expectation) {
    if (!has_image_seals(fd)) return "image-not-sealed";
    const int64_t file_size = regular_file_size(fd);
    if (file_size < static_cast<int64_t>(image::kPageSize)) return "image-size";

    alignas(8) std::byte page[image::kPageSize];
    if (pread(fd, page, sizeof page, 0) != static_cast<ssize_t>(sizeof page))
        return "image-unreadable";
    if (!image::validate_header(page, static_cast<uint64_t>(file_size)).ok()) return "image-header";
    const Header& header = *reinterpret_cast<const Header*>(page);
    if (std::memcmp(header.prefix.identity, expectation.identity, 16) != 0) {
        return "image-of-another-interpreter";
    }
    if (header.domain == image::DomainKind::kUser && header.domain_uid != expectation.uid()) {
        return "image-of-another-user";
    }
    if (!is_slot_base(header.requested_base)) return "image-base";

    if (!room_for(static_cast<uint64_t>(file_size), RLIMIT_AS) ||
        !room_for(header.objects_end - header.objects_begin, RLIMIT_DATA)) {
        return "address-space-limit";
    }

    // Read-only as a whole, then writable where the objects are: tables are never written, and
    // only writable private memory counts against RLIMIT_DATA and the commit limit.
    const auto size = static_cast<size_t>(file_size);
    const char* failure = nullptr;
    void* got = map_somewhere(fd, reinterpret_cast<void*>(header.requested_base), size,
                              expectation.elsewhere, &failure);
    if (got == nullptr) return failure;
    base_ = reinterpret_cast<uint64_t>(got);
    size_ = size;
    failure = prepare_objects(header, expectation.runtime_base);
    if (failure != nullptr) {
        munmap(got, size);
        base_ = 0;
        size_ = 0;
        return failure;
    }
    locate_tables(header);
    return nullptr;
}

// At the address that the image is laid out for, where pages need not be written to be right; if
// something else is there, or on request, where the kernel likes.
void* MappedImage::map_somewhere(int fd, void* wanted, size_t size, bool elsewhere,
                                 const char** failure) {
    if (!elsewhere) {
        void* got = mmap(wanted, size, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
        // Kernels before 4.17 take the flag for a hint.
        if (got != MAP_FAILED) return got;
        if (errno != EEXIST) {
            *failure = "no-address-space";
            return nullptr;
        }
    }
    void* got = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (got != MAP_FAILED) return got;
    *failure = "no-address-space";
    return nullptr;
}

const char* MappedImage::prepare_objects(const Header& header, uint64_t runtime_base) {
    const image::RegionEntry* region = image::find_region(header, RegionKind::kExternals);
    const auto* externals = at<const image::ExternalReference>(region->offset);
    if (const char* failure =
            relocation_.prepare(header, externals, region->count, base_, runtime_base)) {
        return failure;
    }
    for (uint64_t i = 0; i < region->count; ++i) {
        if (externals[i].kind != image::ExternalKind::kInternedDict) continue;
        interned_dict_variable_ =
            reinterpret_cast<void* const*>(relocation_.here(externals[i].address));
    }
    // The file is mapped read-only as a whole: tables are never written, and only writable private
    // memory counts against RLIMIT_DATA and the commit limit.
    objects_begin_ = header.objects_begin;
    objects_size_ = header.objects_end - header.objects_begin;
    const bool writable =
        mprotect(at<void>(objects_begin_), objects_size_, PROT_READ | PROT_WRITE) == 0;
    return writable ? nullptr : "no-memory";
}

void MappedImage::locate_tables(const Header& header) {
    generation_ = header.generation;
    domain_ = header.domain;
    has_hashes_ = header.interpreter.hash_probe != 0;
    const auto table = [&](RegionKind kind) { return image::find_region(header, kind); };
    if (const image::RegionEntry* strings = table(RegionKind::kStrInterned)) {
        strings_offset_ = strings->offset;
        strings_size_ = strings->size;
        startup_strings_begin_ = base_ + strings->offset;
        startup_strings_end_ = startup_strings_begin_ + header.startup_strings_size;
    }
    if (const image::RegionEntry* run_once = table(RegionKind::kRunOnce)) {
        run_once_offset_ = run_once->offset;
        run_once_size_ = run_once->size;
    }
    root_count_ = static_cast<uint32_t>(table(RegionKind::kRoots)->count);
    index_mask_ = static_cast<uint32_t>(table(RegionKind::kRootIndex)->count) - 1;
    roots_ = at<const image::RootRecord>(table(RegionKind::kRoots)->offset);
    index_ = at<const uint32_t>(table(RegionKind::kRootIndex)->offset);
    paths_ = at<const char>(table(RegionKind::kPaths)->offset);
    intern_lists_ = at<const uint32_t>(table(RegionKind::kInternLists)->offset);
    frozensets_ = at<const image::FrozensetRecord>(table(RegionKind::kFrozensetLists)->offset);
    patterns_ = at<const image::PatternRecord>(table(RegionKind::kPatterns)->offset);
    pattern_count_ = static_cast<uint32_t>(table(RegionKind::kPatterns)->count);
}

const image::RootRecord* MappedImage::find_root(const char* path, size_t size) const {
    const uint64_t hash = image::path_hash(path, size);
    // The validator has seen an empty slot, so this ends.
    for (uint32_t slot = static_cast<uint32_t>(hash) & index_mask_;;
         slot = (slot + 1) & index_mask_) {
        const uint32_t number = index_[slot];
        if (number == 0) return nullptr;
        const image::RootRecord& root = roots_[number - 1];
        if (root.path_hash == hash && root.path_size == size &&
            std::memcmp(paths_ + root.path_offset, path, size) == 0) {
            return &root;
        }
    }
}

PyObject* MappedImage::find_pattern(uint64_t hash) {
    uint32_t begin = 0;
    uint32_t end = pattern_count_;
    while (begin < end) {
        const uint32_t middle = begin + (end - begin) / 2;
        if (patterns_[middle].hash < hash) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    const bool found = begin != pattern_count_ && patterns_[begin].hash == hash;
    if (!found) return nullptr;
    const uint64_t offset = uint64_t{patterns_[begin].entry} * 8;
    if (relocation_.needed() && (right_ == nullptr || !Relocator(*this).object(offset))) return nullptr;
    return at<PyObject>(offset);
}

bool MappedImage::taken(const image::RootRecord& root) const {
    return test(taken_, root_number(root));
}

bool MappedImage::allocate_bitmaps() {
    const uint64_t taken = root_count_ / 8 + 1;
    const uint64_t pages = size_ / image::kPageSize / 8 + 1;
    const uint64_t canonical = strings_size_ / kStringSpacing / 8 + 1;
    const uint64_t right =
        relocation_.needed() ? objects_size_ / kObjectSpacing / 8 + 1 + canonical : 0;
    taken_ = static_cast<unsigned char*>(std::calloc(taken + 2 * pages + canonical + right, 1));
    if (taken_ == nullptr) return false;
    pinned_ = taken_ + taken;
    given_back_ = pinned_ + pages;
    canonical_ = given_back_ + pages;
    if (right != 0) {
        listed_ = canonical_ + canonical;
        right_ = listed_ + canonical;
    }
    return true;
}

bool MappedImage::take(const image::RootRecord& root) {
    if (taken_ == nullptr && !allocate_bitmaps()) return false;
    if (taken(root)) return false;
    set(taken_, root_number(root));
    return true;
}

}  // namespace pycds::loader
