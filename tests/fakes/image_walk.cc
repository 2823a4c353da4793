#include "tests/fakes/image_walk.h"

#include <cstdint>
#include <cstring>
#include <set>
#include <string_view>

#include "src/common/image/checksum.h"
#include "src/common/image/format.h"
#include "src/common/image/validator.h"

namespace pycds::fakes {
namespace {

using image::Header;
using image::RegionEntry;
using image::RegionKind;
using image::RootRecord;

struct Failure {
    std::string text;
};

// Deliberately shares nothing with the validator but format.h.
class Walker {
  public:
    explicit Walker(std::span<const std::byte> image) : image_(image) {
        header_ = load<Header>(0);
        for (uint32_t i = 0; i < header_.region_count; ++i) {
            if (i >= image::kMaxRegions) throw Failure{"too many regions"};
            const RegionEntry& region = header_.regions[i];
            if (region.offset + region.size > image_.size()) throw Failure{"region out of bounds"};
        }
    }

    void walk() {
        const RegionEntry& roots = region(RegionKind::kRoots);
        for (uint64_t i = 0; i < roots.count; ++i) {
            const RootRecord root = load<RootRecord>(roots.offset + i * sizeof(RootRecord));
            const std::string_view source = path(root.path_offset, root.path_size);
            path(root.pyc_offset, root.pyc_size);
            if (find(source) != i) throw Failure{"a lookup does not find its root"};
            object(root.code_offset);
            walk_interns(root);
            walk_frozensets(root);
        }
        walk_ptrmap(RegionKind::kPtrmapInternal);
        walk_ptrmap(RegionKind::kPtrmapExternal);
    }

  private:
    template <typename T>
    T load(uint64_t offset) const {
        if (offset > image_.size() || sizeof(T) > image_.size() - offset) {
            throw Failure{"load out of bounds"};
        }
        T value;
        std::memcpy(&value, image_.data() + offset, sizeof value);
        return value;
    }

    const RegionEntry& region(RegionKind kind) const {
        const RegionEntry* found = image::find_region(header_, kind);
        if (found == nullptr) throw Failure{"a region is missing"};
        return *found;
    }

    uint32_t entry(RegionKind kind, uint64_t i) const {
        const RegionEntry& table = region(kind);
        if (i >= table.size / sizeof(uint32_t)) throw Failure{"entry beyond its table"};
        return load<uint32_t>(table.offset + i * sizeof(uint32_t));
    }

    std::string_view path(uint32_t offset, uint32_t size) const {
        const RegionEntry& paths = region(RegionKind::kPaths);
        if (uint64_t{offset} + size + 1 > paths.size) throw Failure{"path beyond its table"};
        const char* text = reinterpret_cast<const char*>(image_.data() + paths.offset + offset);
        if (std::strlen(text) != size || text[0] != '/') throw Failure{"path is no C string"};
        return {text, size};
    }

    uint64_t find(std::string_view wanted) const {
        const uint64_t slots = region(RegionKind::kRootIndex).count;
        const uint64_t hash = image::path_hash(wanted.data(), wanted.size());
        for (uint64_t step = 0; step < slots; ++step) {
            const uint32_t found = entry(RegionKind::kRootIndex, (hash + step) & (slots - 1));
            if (found == 0) break;
            const RootRecord root = load<RootRecord>(region(RegionKind::kRoots).offset +
                                                     (found - 1) * sizeof(RootRecord));
            if (root.path_hash == hash && path(root.path_offset, root.path_size) == wanted) {
                return found - 1;
            }
        }
        throw Failure{"a lookup ends at an empty slot"};
    }

    // The start of an object: its head is there and aligned, its type is listed.
    void object(uint64_t offset) const {
        if (offset % image::kObjectAlignment != 0 || offset < header_.objects_begin ||
            offset + 16 > header_.objects_end) {
            throw Failure{"object out of bounds"};
        }
        external(load<uint64_t>(offset + 8));
    }

    void external(uint64_t address) const {
        const RegionEntry& table = region(RegionKind::kExternals);
        for (uint64_t i = 0; i < table.count; ++i) {
            const uint64_t at = table.offset + i * sizeof(image::ExternalReference);
            if (load<image::ExternalReference>(at).address == address) return;
        }
        throw Failure{"an external reference is not listed"};
    }

    void walk_interns(const RootRecord& root) const {
        const uint64_t end = uint64_t{root.intern_first} + root.intern_size;
        for (uint64_t i = root.intern_first; i < end;) {
            const uint64_t string = 8 * uint64_t{entry(RegionKind::kInternLists, i)};
            const uint64_t slots = entry(RegionKind::kInternLists, i + 1);
            object(string);
            i += 2;
            for (uint64_t k = 0; k < slots; ++k, ++i) {
                const uint64_t slot = 8 * uint64_t{entry(RegionKind::kInternLists, i)};
                if (load<uint64_t>(slot) != header_.requested_base + string) {
                    throw Failure{"a slot does not hold its string"};
                }
            }
            if (i > end) throw Failure{"an intern list runs into the next"};
        }
    }

    void walk_frozensets(const RootRecord& root) {
        for (uint64_t i = 0; i < root.frozenset_count; ++i) {
            const RegionEntry& table = region(RegionKind::kFrozensetLists);
            const uint64_t place = root.frozenset_first + i;
            if (place >= table.count) throw Failure{"a frozenset list beyond its table"};
            const auto record =
                load<image::FrozensetRecord>(table.offset + place * sizeof(image::FrozensetRecord));
            object(8 * uint64_t{record.object});
            if (record.elements <= record.object) throw Failure{"elements before their frozenset"};
            const bool filled = record.table_size != 0;
            if (filled) {
                constexpr uint64_t kTable = 40;  // PySetObject::table
                const uint64_t pointer = 8 * uint64_t{record.object} + kTable;
                if (load<uint64_t>(pointer) - header_.requested_base != 8 * uint64_t{record.elements}) {
                    throw Failure{"the table of a frozenset is another than its list says"};
                }
                tables_.insert(pointer);
            }
            for (uint64_t k = 0; k < (filled ? record.table_size : record.count); ++k) {
                const auto element =
                    load<uint64_t>(8 * (uint64_t{record.elements} + (filled ? 2 * k : k)));
                if (filled && element == 0) continue;
                const bool inside = element - header_.requested_base < image_.size();
                inside ? object(element - header_.requested_base) : external(element);
            }
        }
    }

    void walk_ptrmap(RegionKind kind) const {
        const RegionEntry& map = region(kind);
        for (uint64_t bit = 0; bit < map.size * 8; ++bit) {
            const uint64_t word = load<uint64_t>(map.offset + bit / 64 * 8);
            if (((word >> (bit % 64)) & 1) == 0) continue;
            const uint64_t value = load<uint64_t>(header_.objects_begin + 8 * bit);
            if (tables_.count(header_.objects_begin + 8 * bit) != 0) continue;
            if (kind == RegionKind::kPtrmapInternal) {
                object(value - header_.requested_base);
            } else {
                external(value);
            }
        }
    }

    std::span<const std::byte> image_;
    Header header_;
    std::set<uint64_t> tables_;  // where the pointers to the tables of frozensets are
};

}  // namespace

std::string walk_image(std::span<const std::byte> image) {
    try {
        Walker(image).walk();
    } catch (const Failure& failure) {
        return failure.text;
    }
    return "";
}

}  // namespace pycds::fakes
