// The steps of the validator about tables: roots, the root index, intern and frozenset lists, what
// was left out.
#include <cstring>

#include "src/common/base/checked.h"
#include "src/common/image/checker.h"
#include "src/common/image/checksum.h"
#include "src/common/image/object_layout.h"

namespace pycds::image {
namespace {

// A hostile index could make probing quadratic. Linear probing stays below this many steps for
// each slot on average up to a load of 0.99, and in any table of less than ten thousand roots.
constexpr uint64_t kProbesPerSlot = 64;

}  // namespace

bool Checker::is_stored_path(uint64_t offset, uint64_t size) const {
    const RegionEntry& paths = table(RegionKind::kPaths);
    if (size > kMaxPathSize || !range_inside(offset, size + 1, paths.size)) return false;
    return load<char>(paths.offset + offset + size) == '\0';
}

bool Checker::is_good_path(uint64_t offset, uint64_t size) const {
    if (size == 0 || !is_stored_path(offset, size)) return false;
    const std::byte* path = image_ + table(RegionKind::kPaths).offset + offset;
    return path[0] == std::byte{'/'} && std::memchr(path, '\0', size) == nullptr;
}

int Checker::compare_paths(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size) const {
    const std::byte* paths = image_ + table(RegionKind::kPaths).offset;
    const uint32_t common = a_size < b_size ? a_size : b_size;
    const int order = std::memcmp(paths + a, paths + b, common);
    if (order != 0 || a_size == b_size) return order;
    return a_size < b_size ? -1 : 1;
}

Verdict Checker::check_root(const RootRecord& root, uint64_t at) const {
    if (root.reserved != 0) return bad(Defect::kReserved, at + offsetof(RootRecord, reserved));
    if (!is_good_path(root.path_offset, root.path_size)) {
        return bad(Defect::kRootPath, at + offsetof(RootRecord, path_offset));
    }
    if (!is_good_path(root.pyc_offset, root.pyc_size)) {
        return bad(Defect::kRootPath, at + offsetof(RootRecord, pyc_offset));
    }
    const std::byte* path = image_ + table(RegionKind::kPaths).offset + root.path_offset;
    if (path_hash(reinterpret_cast<const char*>(path), root.path_size) != root.path_hash) {
        return bad(Defect::kRootHash, at + offsetof(RootRecord, path_hash));
    }
    if (object_type_at_offset(root.code_offset) != static_cast<uint32_t>(TypeIndex::kCode)) {
        return bad(Defect::kRootCode, at + offsetof(RootRecord, code_offset));
    }
    if ((root.flags & ~kRootUncheckedHash) != 0) {
        return bad(Defect::kRootFlags, at + offsetof(RootRecord, flags));
    }
    if (!range_inside(root.intern_first, root.intern_size, table(RegionKind::kInternLists).count)) {
        return bad(Defect::kRootLists, at + offsetof(RootRecord, intern_first));
    }
    if (!range_inside(root.frozenset_first, root.frozenset_count,
                      table(RegionKind::kFrozensetLists).count)) {
        return bad(Defect::kRootLists, at + offsetof(RootRecord, frozenset_first));
    }
    return {};
}

Verdict Checker::check_roots() const {
    const RegionEntry& roots = table(RegionKind::kRoots);
    // Lists are not shared, which also keeps check_lists() linear.
    uint64_t interns_left = table(RegionKind::kInternLists).count;
    uint64_t frozensets_left = table(RegionKind::kFrozensetLists).count;
    RootRecord before{};
    for (uint64_t i = 0; i < roots.count; ++i) {
        const uint64_t at = roots.offset + i * sizeof(RootRecord);
        const RootRecord root = entry<RootRecord>(roots, i);
        const Verdict verdict = check_root(root, at);
        if (!verdict.ok()) return verdict;
        if (i != 0 && compare_paths(before.path_offset, before.path_size, root.path_offset,
                                    root.path_size) >= 0) {
            return bad(Defect::kRootOrder, at);
        }
        if (root.intern_size > interns_left || root.frozenset_count > frozensets_left) {
            return bad(Defect::kRootLists, at + offsetof(RootRecord, intern_first));
        }
        // A list that begins where the one of the root before it ends is no other root's.
        if (root.intern_first != table(RegionKind::kInternLists).count - interns_left) {
            return bad(Defect::kRootLists, at + offsetof(RootRecord, intern_first));
        }
        const uint64_t next = table(RegionKind::kFrozensetLists).count - frozensets_left;
        if (root.frozenset_count != 0 && root.frozenset_first != next) {
            return bad(Defect::kRootLists, at + offsetof(RootRecord, frozenset_first));
        }
        interns_left -= root.intern_size;
        frozensets_left -= root.frozenset_count;
        before = root;
    }
    if (frozensets_left != 0 || interns_left != 0) return bad(Defect::kRootLists, roots.offset);
    return {};
}

Verdict Checker::check_root_index() const {
    const RegionEntry& roots = table(RegionKind::kRoots);
    const RegionEntry& index = table(RegionKind::kRootIndex);
    const uint64_t slots = index.count;
    if ((slots & (slots - 1)) != 0 || slots <= roots.count) {
        return bad(Defect::kRootIndex, index.offset);
    }
    uint64_t used = 0;
    for (uint64_t slot = 0; slot < slots; ++slot) {
        const uint32_t value = entry<uint32_t>(index, slot);
        if (value > roots.count) {
            return bad(Defect::kRootIndex, index.offset + slot * sizeof(uint32_t));
        }
        if (value != 0) ++used;
    }
    // As many entries as roots, each root found in a slot of its own: there is no other entry.
    // And as slots are more than that, every probing below meets an empty one or its root.
    if (used != roots.count) return bad(Defect::kRootIndex, index.offset);
    uint64_t probes_left = kProbesPerSlot * slots;
    for (uint64_t i = 0; i < roots.count; ++i) {
        const uint64_t hash =
            load<uint64_t>(roots.offset + i * sizeof(RootRecord) + offsetof(RootRecord, path_hash));
        for (uint64_t slot = hash & (slots - 1);; slot = (slot + 1) & (slots - 1)) {
            const uint32_t value = entry<uint32_t>(index, slot);
            if (value == i + 1) break;
            if (value == 0 || probes_left-- == 0) {
                return bad(Defect::kRootIndex, index.offset + slot * sizeof(uint32_t));
            }
        }
    }
    return {};
}

Verdict Checker::check_intern_list(const RootRecord& root) const {
    const RegionEntry& lists = table(RegionKind::kInternLists);
    const auto at = [&](uint64_t i) { return lists.offset + i * sizeof(uint32_t); };
    const uint64_t end = uint64_t{root.intern_first} + root.intern_size;
    uint64_t i = root.intern_first;
    while (i < end) {
        if (end - i < 2) return bad(Defect::kInternEntry, at(i));
        const uint64_t string = 8 * uint64_t{entry<uint32_t>(lists, i)};
        const uint64_t slots = entry<uint32_t>(lists, i + 1);
        if (!in_region(string, RegionKind::kStrInterned) ||
            object_type_at_offset(string) != static_cast<uint32_t>(TypeIndex::kStr) ||
            slots > end - i - 2) {
            return bad(Defect::kInternEntry, at(i));
        }
        i += 2;
        for (const uint64_t last = i + slots; i < last; ++i) {
            const uint64_t slot = 8 * uint64_t{entry<uint32_t>(lists, i)};
            if (slot < header_.objects_begin || slot >= header_.objects_end) {
                return bad(Defect::kInternEntry, at(i));
            }
            const uint64_t word = (slot - header_.objects_begin) / 8;
            if (!internal_.test(word) || load_word(word) != header_.requested_base + string) {
                return bad(Defect::kInternEntry, at(i));
            }
        }
    }
    return {};
}

bool Checker::good_frozenset(const FrozensetRecord& record, uint64_t* elements_left) const {
    const uint64_t object = 8 * uint64_t{record.object};
    const uint64_t elements = 8 * uint64_t{record.elements};
    const RegionEntry* region = find_region(header_, RegionKind::kFrozensets);
    // The region holds nothing but frozensets.
    if (region == nullptr || !in_region(object, RegionKind::kFrozensets) ||
        object_type_at_offset(object) == kTypes) {
        return false;
    }
    if (record.table_size != 0) return good_filled_frozenset(record, *region);
    // The hand-out sets its table.
    if (!range_inside(object - region->offset, kSetTable + 8, region->size) ||
        !null_word((object + kSetTable - header_.objects_begin) / 8)) {
        return false;
    }
    if (elements <= object + sizeof(uint64_t) || record.count > *elements_left ||
        !range_inside(elements - region->offset, 8 * uint64_t{record.count}, region->size)) {
        return false;
    }
    *elements_left -= record.count;
    // Up to the next object all is its own.
    const uint64_t first = (elements - header_.objects_begin) / 8;
    const uint64_t own = (object - header_.objects_begin) / 8;
    if (first + record.count > next_object(own + 2, words_of(*region).end)) return false;
    for (uint64_t i = 0; i < record.count; ++i) {
        if (!marked(first + i)) return false;
    }
    return true;
}

// Nobody looks at it before CPython does: all of the set is as CPython would have it.
bool Checker::good_filled_frozenset(const FrozensetRecord& record, const RegionEntry& region) const {
    const uint64_t object = 8 * uint64_t{record.object};
    const uint64_t elements = 8 * uint64_t{record.elements};
    const uint64_t first = (object - header_.objects_begin) / 8;
    const uint64_t end = next_object(first + 2, words_of(region).end);
    const bool small = record.table_size == kSetSmallTableSize;
    const uint64_t begin = first + (small ? kSetSmallTable : kSetSize) / 8;
    // What is looked up must come to an unused entry.
    if (header_.interpreter.hash_probe == 0 || (record.table_size & (record.table_size - 1)) != 0 ||
        record.table_size < kSetSmallTableSize || record.count >= record.table_size ||
        end - first < kSetSize / 8 || begin > end || 2 * uint64_t{record.table_size} > end - begin ||
        elements != header_.objects_begin + 8 * begin) {
        return false;
    }
    const uint64_t numbers = first + kSetFill / 8;
    const uint64_t table = first + kSetTable / 8;
    if (!none_marked(numbers, table) || load_word(numbers) != record.count ||
        load_word(numbers + 1) != record.count || load_word(numbers + 2) != record.table_size - 1 ||
        !internal_.test(table) || load_word(table) != header_.requested_base + elements ||
        !unknown_hash(table + 1) || !null_word(table + 2) || !null_word(first + kSetWeakrefs / 8)) {
        return false;
    }
    return (small || good_table(first + kSetSmallTable / 8, kSetSmallTableSize, 0)) &&
           good_table(begin, record.table_size, record.count);
}

// Has the table of `size` entries `count` keys, and with each a hash that may be its own?
bool Checker::good_table(uint64_t word, uint32_t size, uint32_t count) const {
    // Comparing a frozenset that is not filled yet would not do.
    constexpr uint32_t kNeverKeys = 1U << static_cast<uint32_t>(TypeIndex::kFrozenset) |
                                    1U << static_cast<uint32_t>(TypeIndex::kCode) |
                                    1U << static_cast<uint32_t>(TypeIndex::kSlice);
    uint32_t found = 0;
    for (const uint64_t end = word + 2 * uint64_t{size}; word < end; word += 2) {
        if (!marked(word)) {
            if (load_word(word) != 0 || !null_word(word + 1)) return false;
            continue;
        }
        ++found;
        if (marked(word + 1)) return false;
        if (external_.test(word)) continue;
        const TypeIndex type = pointed_type(word);
        if ((kNeverKeys >> static_cast<uint32_t>(type) & 1) != 0) return false;
        if (type == TypeIndex::kStr &&
            load_word(pointed_word(word) + kStrHash / 8) != load_word(word + 1)) {
            return false;
        }
    }
    return found == count;
}

Verdict Checker::check_frozenset_list(const RootRecord& root, uint64_t* elements_left) const {
    const RegionEntry& lists = table(RegionKind::kFrozensetLists);
    for (uint64_t i = 0; i < root.frozenset_count; ++i) {
        const uint64_t place = root.frozenset_first + i;
        const FrozensetRecord record = entry<FrozensetRecord>(lists, place);
        if (!good_frozenset(record, elements_left)) {
            return bad(Defect::kFrozensetEntry, lists.offset + place * sizeof(FrozensetRecord));
        }
    }
    return {};
}

Verdict Checker::check_lists() const {
    const RegionEntry& roots = table(RegionKind::kRoots);
    // A frozenset belongs to one root: all elements together are no more than the words there.
    const RegionEntry* frozensets = find_region(header_, RegionKind::kFrozensets);
    uint64_t elements_left = frozensets == nullptr ? 0 : frozensets->size / 8;
    // Each frozenset is listed, once: an unlisted one would stay without a table.
    const RegionEntry& lists = table(RegionKind::kFrozensetLists);
    if (lists.count != (frozensets == nullptr ? 0 : frozensets->count)) {
        return bad(Defect::kFrozensetEntry, lists.offset);
    }
    for (uint64_t i = 1; i < lists.count; ++i) {
        if (entry<FrozensetRecord>(lists, i).object <=
            entry<FrozensetRecord>(lists, i - 1).object) {
            return bad(Defect::kFrozensetEntry, lists.offset + i * sizeof(FrozensetRecord));
        }
    }
    for (uint64_t i = 0; i < roots.count; ++i) {
        const RootRecord root = entry<RootRecord>(roots, i);
        Verdict verdict = check_intern_list(root);
        if (!verdict.ok()) return verdict;
        verdict = check_frozenset_list(root, &elements_left);
        if (!verdict.ok()) return verdict;
    }
    return {};
}

Verdict Checker::check_left_out() const {
    const RegionEntry& table = this->table(RegionKind::kLeftOut);
    LeftOutRecord before{};
    for (uint64_t i = 0; i < table.count; ++i) {
        const uint64_t at = table.offset + i * sizeof(LeftOutRecord);
        const LeftOutRecord record = entry<LeftOutRecord>(table, i);
        if (record.reserved != 0) {
            return bad(Defect::kReserved, at + offsetof(LeftOutRecord, reserved));
        }
        const bool known =
            record.reason >= LeftOutReason::kNoSource && record.reason <= LeftOutReason::kPath;
        // What was left out because it is no path may have any bytes.
        const bool good = record.reason == LeftOutReason::kPath
                              ? is_stored_path(record.path_offset, record.path_size)
                              : is_good_path(record.path_offset, record.path_size);
        if (!known || !good) return bad(Defect::kLeftOutEntry, at);
        if (i != 0 && compare_paths(before.path_offset, before.path_size, record.path_offset,
                                    record.path_size) > 0) {
            return bad(Defect::kLeftOutEntry, at);
        }
        before = record;
    }
    return {};
}

Verdict Checker::check_patterns() const {
    const RegionEntry& table = this->table(RegionKind::kPatterns);
    uint64_t hash_before = 0;
    for (uint64_t i = 0; i < table.count; ++i) {
        const uint64_t at = table.offset + i * sizeof(PatternRecord);
        const PatternRecord record = entry<PatternRecord>(table, i);
        const uint64_t tuple = 8 * uint64_t{record.entry};
        if (record.reserved != 0) {
            return bad(Defect::kReserved, at + offsetof(PatternRecord, reserved));
        }
        const bool good_region = in_region(tuple, RegionKind::kTupleConsts) ||
                                 in_region(tuple, RegionKind::kModules);
        if (!good_region ||
            object_type_at_offset(tuple) != static_cast<uint32_t>(TypeIndex::kTuple) ||
            (i != 0 && record.hash <= hash_before)) {
            return bad(Defect::kPatternEntry, at);
        }
        hash_before = record.hash;
    }
    return {};
}

}  // namespace pycds::image
