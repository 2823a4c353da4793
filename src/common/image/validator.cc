// The whole-image part of the validator: the order of its steps, and those about objects and what
// they refer to.
#include "src/common/image/validator.h"

#include <bit>
#include <cstring>

#include "src/common/base/bitmap.h"
#include "src/common/image/checker.h"
#include "src/common/image/checksum.h"
#include "src/common/image/object_layout.h"
#include "src/common/image/zero_bytes.h"

namespace pycds::image {
namespace {

constexpr uint32_t kSingletons = static_cast<uint32_t>(SingletonIndex::kCount);
constexpr uint32_t kHeapSingletons = static_cast<uint32_t>(HeapSingleton::kCount);

constexpr uint32_t bit_of(TypeIndex type) {
    return 1U << static_cast<uint32_t>(type);
}

// Types of the objects that a region may hold.
uint32_t allowed_types(RegionKind kind) {
    switch (kind) {
        case RegionKind::kCodeRunOnce:
        case RegionKind::kCodeFunctions: return bit_of(TypeIndex::kCode);
        case RegionKind::kStrInterned:
        case RegionKind::kStrDoc:
        case RegionKind::kStrOther: return bit_of(TypeIndex::kStr);
        case RegionKind::kTupleNames: return bit_of(TypeIndex::kTuple);
        // The compiler of 3.14 makes constants of slices.
        case RegionKind::kTupleConsts: return bit_of(TypeIndex::kTuple) | bit_of(TypeIndex::kSlice);
        case RegionKind::kBytes: return bit_of(TypeIndex::kBytes);
        case RegionKind::kNumbers:
            return bit_of(TypeIndex::kInt) | bit_of(TypeIndex::kFloat) |
                   bit_of(TypeIndex::kComplex);
        case RegionKind::kFrozensets: return bit_of(TypeIndex::kFrozenset);
        case RegionKind::kModules:
            return (bit_of(TypeIndex::kCount) - 1) & ~bit_of(TypeIndex::kFrozenset);
        case RegionKind::kRunOnce:
            return bit_of(TypeIndex::kCode) | bit_of(TypeIndex::kTuple) | bit_of(TypeIndex::kBytes);
        default: return 0;
    }
}

constexpr uint32_t kCollectedTypes =
    bit_of(TypeIndex::kTuple) | bit_of(TypeIndex::kFrozenset) | bit_of(TypeIndex::kSlice);

}  // namespace

// -------------------------------------------------------------------------------------------
// Padding, ptrmaps, external references

Verdict Checker::check_padding() const {
    uint64_t end = kPageSize;
    for (uint32_t i = 0; i <= header_.region_count; ++i) {
        const bool last = i == header_.region_count;
        const uint64_t next = last ? header_.prefix.image_size : header_.regions[i].offset;
        const uint64_t stray = first_nonzero(image_ + end, next - end);
        if (stray != next - end) return bad(Defect::kPadding, end + stray);
        if (!last) end = next + header_.regions[i].size;
    }
    return {};
}

Verdict Checker::check_unmarked(uint64_t from, uint64_t to) const {
    const uint64_t internal = internal_.find_next(from);
    if (internal < to) return bad_word(Defect::kPtrmapStray, internal);
    const uint64_t external = external_.find_next(from);
    if (external < to) return bad_word(Defect::kPtrmapStray, external);
    return {};
}

Verdict Checker::check_ptrmaps() {
    const RegionEntry& internal = table(RegionKind::kPtrmapInternal);
    const RegionEntry& external = table(RegionKind::kPtrmapExternal);
    const uint64_t words = object_words();
    if (internal.count != bitmap_words(words)) return bad(Defect::kPtrmapSize, internal.offset);
    if (external.count != bitmap_words(words)) return bad(Defect::kPtrmapSize, external.offset);
    // The object area is whole pages, so no bit of the last word is without a word of objects.
    internal_ = BitmapView(reinterpret_cast<const uint64_t*>(image_ + internal.offset), words);
    external_ = BitmapView(reinterpret_cast<const uint64_t*>(image_ + external.offset), words);
    for (uint64_t i = 0; i < internal.count; ++i) {
        const uint64_t both = entry<uint64_t>(internal, i) & entry<uint64_t>(external, i);
        if (both != 0) {
            const uint64_t bit = static_cast<uint64_t>(std::countr_zero(both));
            return bad_word(Defect::kPtrmapOverlap, 64 * i + bit);
        }
    }
    uint64_t end = 0;
    for (uint32_t i = 0; i < header_.region_count; ++i) {
        const RegionEntry& region = header_.regions[i];
        if (static_cast<uint32_t>(region.kind) >= kFirstTableKind) break;
        const WordRange range = words_of(region);
        const Verdict verdict = check_unmarked(end, range.begin);
        if (!verdict.ok()) return verdict;
        end = range.end;
    }
    return check_unmarked(end, words);
}

Verdict Checker::check_externals() {
    const RegionEntry& table = this->table(RegionKind::kExternals);
    const uint64_t image_begin = header_.requested_base;
    const uint64_t image_end = image_begin + header_.prefix.image_size;
    uint64_t address_before = 0;
    bool singleton_seen[kSingletons] = {};
    bool runtime_seen = false;
    bool interned_dict_seen = false;
    bool heap_singleton_seen[kHeapSingletons] = {};
    uint64_t runtime_address = 0;
    for (uint64_t i = 0; i < table.count; ++i) {
        const uint64_t at = table.offset + i * sizeof(ExternalReference);
        const ExternalReference reference = entry<ExternalReference>(table, i);
        if (reference.reserved != 0) {
            return bad(Defect::kReserved, at + offsetof(ExternalReference, reserved));
        }
        if (reference.address == 0 ||
            (reference.address >= image_begin && reference.address < image_end)) {
            return bad(Defect::kExternalEntry, at);
        }
        if (reference.address <= address_before) return bad(Defect::kExternalOrder, at);
        address_before = reference.address;

        bool good = false;
        switch (reference.kind) {
            case ExternalKind::kType:
                good = reference.index < kTypes && type_addresses_[reference.index] == 0;
                if (good) type_addresses_[reference.index] = reference.address;
                break;
            case ExternalKind::kSingleton:
                good = reference.index < kSingletons && !singleton_seen[reference.index];
                if (good) singleton_seen[reference.index] = true;
                break;
            case ExternalKind::kRuntime:
                // All of them are offsets from one address.
                if (!runtime_seen) runtime_address = reference.address - reference.index;
                runtime_seen = true;
                good = reference.index <= reference.address &&
                       runtime_address == reference.address - reference.index;
                break;
            case ExternalKind::kInternedDict:
                good = reference.index == 0 && reference.address % 8 == 0 && !interned_dict_seen;
                interned_dict_seen = true;
                break;
            case ExternalKind::kStaticString:
                good = reference.address % 8 == 0 &&
                       reference.address - reference.index == header_.runtime_base;
                break;
            case ExternalKind::kHeapSingleton:
                good = reference.index < kHeapSingletons && !heap_singleton_seen[reference.index] &&
                       reference.address == heap_singleton_address(reference.index);
                if (good) heap_singleton_seen[reference.index] = true;
                break;
        }
        if (!good) return bad(Defect::kExternalEntry, at);
    }
    return {};
}

uint64_t Checker::find_external(uint64_t address) const {
    const RegionEntry& table = this->table(RegionKind::kExternals);
    uint64_t low = 0;
    uint64_t high = table.count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const uint64_t found = load<uint64_t>(table.offset + middle * sizeof(ExternalReference) +
                                              offsetof(ExternalReference, address));
        if (found == address) return middle;
        if (found < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return table.count;
}

// -------------------------------------------------------------------------------------------
// Objects

uint32_t Checker::type_at(uint64_t address) const {
    if (address == 0) return kTypes;
    uint32_t type = 0;
    while (type < kTypes && type_addresses_[type] != address) ++type;
    return type;
}

uint32_t Checker::object_type(uint64_t word) const {
    if (word % (kObjectAlignment / 8) != 0 || word + 1 >= object_words()) return kTypes;
    if (!external_.test(word + 1)) return kTypes;
    return type_at(load_word(word + 1));
}

uint32_t Checker::object_type_at_offset(uint64_t offset) const {
    if (offset % 8 != 0 || offset < header_.objects_begin || offset >= header_.objects_end) {
        return kTypes;
    }
    return object_type((offset - header_.objects_begin) / 8);
}

bool Checker::in_region(uint64_t offset, RegionKind kind) const {
    const RegionEntry* region = find_region(header_, kind);
    return region != nullptr && offset >= region->offset && offset - region->offset < region->size;
}

Verdict Checker::check_object_head(const RegionEntry& region, uint64_t word, uint32_t type) const {
    const WordRange range = words_of(region);
    // object_type() above sees aligned starts only, so a misaligned one must not pass here.
    if (word < range.begin || word % (kObjectAlignment / 8) != 0 || marked(word)) {
        return bad_word(Defect::kObjectStart, word);
    }
    if (((allowed_types(region.kind) >> type) & 1) == 0) {
        return bad_word(Defect::kObjectType, word);
    }
    if (((kCollectedTypes >> type) & 1) != 0) {
        if (word < range.begin + 2) return bad_word(Defect::kObjectStart, word);
        for (uint64_t head = word - 2; head < word; ++head) {
            if (marked(head) || load_word(head) != 0) return bad_word(Defect::kObjectStart, head);
        }
    }
    return {};
}

Verdict Checker::check_region_objects(const RegionEntry& region) const {
    const WordRange range = words_of(region);
    uint64_t found = 0;
    for (uint64_t word = external_.find_next(range.begin); word < range.end;
         word = external_.find_next(word + 1)) {
        const uint64_t address = load_word(word);
        const uint32_t type = type_at(address);
        if (type == kTypes) {
            if (find_external(address) == table(RegionKind::kExternals).count) {
                return bad_word(Defect::kExternalWord, word);
            }
            continue;
        }
        if (word == range.begin) return bad_word(Defect::kObjectStart, word);
        const Verdict verdict = check_object_head(region, word - 1, type);
        if (!verdict.ok()) return verdict;
        ++found;
    }
    if (found != region.count) return bad(Defect::kObjectCount, region.offset);
    return {};
}

Verdict Checker::check_objects() {
    for (uint32_t i = 0; i < header_.region_count; ++i) {
        const RegionEntry& region = header_.regions[i];
        if (static_cast<uint32_t>(region.kind) >= kFirstTableKind) break;
        const Verdict verdict = check_region_objects(region);
        if (!verdict.ok()) return verdict;
    }
    return {};
}

// The fields that are pointers and not to an object: of frozensets, whose record says whether it is right,
// and of code, in versions that have it.
bool Checker::is_array(uint64_t word, uint64_t target) const {
    if (word >= kSetTable / 8 &&
        object_type(word - kSetTable / 8) == static_cast<uint32_t>(TypeIndex::kFrozenset)) {
        return true;
    }
    const ObjectLayout* layout = object_layout(header_.interpreter.hexversion);
    if (layout == nullptr || layout->code_array == 0 || word < layout->code_array / 8) return false;
    return object_type(word - layout->code_array / 8) == static_cast<uint32_t>(TypeIndex::kCode) &&
           object_type_at_offset(target - kBytesData) == static_cast<uint32_t>(TypeIndex::kBytes);
}

Verdict Checker::check_embedded_pointers() const {
    const uint64_t words = object_words();
    for (uint64_t word = internal_.find_next(0); word < words;
         word = internal_.find_next(word + 1)) {
        // Wraps to something beyond objects_end for an address below the base.
        const uint64_t offset = load_word(word) - header_.requested_base;
        if (object_type_at_offset(offset) == kTypes && !is_array(word, offset)) {
            return bad_word(Defect::kInternalWord, word);
        }
    }
    return {};
}

Verdict validate_image(const std::byte* image, uint64_t size) {
    Verdict verdict = validate_header(image, size);
    if (!verdict.ok()) return verdict;
    Header header;
    std::memcpy(&header, image, sizeof header);
    if (image_checksum(image, size) != header.prefix.checksum) {
        return Verdict{Defect::kChecksum, offsetof(FrozenPrefix, checksum)};
    }
    Checker checker(image, header);
    verdict = checker.check_padding();
    if (verdict.ok()) verdict = checker.check_ptrmaps();
    if (verdict.ok()) verdict = checker.check_externals();
    if (verdict.ok()) verdict = checker.check_objects();
    if (verdict.ok()) verdict = checker.check_embedded_pointers();
    if (verdict.ok()) verdict = checker.check_contents();
    if (verdict.ok()) verdict = checker.check_roots();
    if (verdict.ok()) verdict = checker.check_root_index();
    if (verdict.ok()) verdict = checker.check_lists();
    if (verdict.ok()) verdict = checker.check_references();
    if (verdict.ok()) verdict = checker.check_startup_strings();
    if (verdict.ok()) verdict = checker.check_left_out();
    if (verdict.ok()) verdict = checker.check_patterns();
    return verdict;
}

}  // namespace pycds::image
