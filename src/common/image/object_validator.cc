// The step of the validator about what is in objects: does each lie in the room it has, and is
// every word that CPython will follow one that is marked? What code and constants mean is nobody's
// to validate.
#include <cstring>

#include "src/common/image/checker.h"
#include "src/common/image/object_layout.h"
#include "src/common/image/zero_bytes.h"

namespace pycds::image {
namespace {

// Pointers of a code object, in the order in which all versions since 3.11 have them; before.
struct CodePointer {
    uint32_t offset;
    TypeIndex type;
    bool of_names;  // a tuple of strings
};
constexpr CodePointer kCodePointers[] = {
    {24, TypeIndex::kTuple, false},   // co_consts
    {32, TypeIndex::kTuple, true},    // co_names
    {40, TypeIndex::kBytes, false},   // co_exceptiontable
    {96, TypeIndex::kTuple, true},    // co_localsplusnames
    {104, TypeIndex::kBytes, false},  // co_localspluskinds
    {112, TypeIndex::kStr, false},    // co_filename
    {120, TypeIndex::kStr, false},    // co_name
    {128, TypeIndex::kStr, false},    // co_qualname
    {136, TypeIndex::kBytes, false},  // co_linetable
};
constexpr uint32_t kLocalsplusNames = 96;

constexpr CodePointer kOlderCodePointers[] = {
    {48, TypeIndex::kBytes, false},   // co_code
    {56, TypeIndex::kTuple, false},   // co_consts
    {64, TypeIndex::kTuple, true},    // co_names
    {72, TypeIndex::kTuple, true},    // co_varnames
    {80, TypeIndex::kTuple, true},    // co_freevars
    {88, TypeIndex::kTuple, true},    // co_cellvars
    {104, TypeIndex::kStr, false},    // co_filename
    {112, TypeIndex::kStr, false},    // co_name
    {120, TypeIndex::kBytes, false},  // co_lnotab, co_linetable
};
constexpr uint32_t kOlderCode = 48;
constexpr uint32_t kVarnames = 72;
constexpr uint32_t kCellvars = 88;

// More than any compiler lets through, and little enough for sums of it not to overflow.
constexpr uint64_t kMaxStack = 1U << 24;

}  // namespace

// The objects of a region lie one behind the other: each has the room up to the next.
Verdict Checker::check_contents() const {
    const ObjectLayout* layout = object_layout(header_.interpreter.hexversion);
    if (layout == nullptr) return {};
    for (uint32_t i = 0; i < header_.region_count; ++i) {
        const RegionEntry& region = header_.regions[i];
        if (static_cast<uint32_t>(region.kind) >= kFirstTableKind) break;
        const WordRange range = words_of(region);
        uint64_t object = next_object(range.begin, range.end);
        while (object < range.end) {
            const uint64_t next = next_object(object + 2, range.end);
            const Verdict verdict = check_content(*layout, object, next);
            if (!verdict.ok()) return verdict;
            object = next;
        }
    }
    return {};
}

// First word of the next object from a word on, or `end`.
uint64_t Checker::next_object(uint64_t word, uint64_t end) const {
    for (uint64_t type = external_.find_next(word + 1); type < end;
         type = external_.find_next(type + 1)) {
        if (type_at(load_word(type)) != kTypes) return type - 1;
    }
    return end;
}

Verdict Checker::check_content(const ObjectLayout& layout, uint64_t object, uint64_t end) const {
    const auto type = static_cast<TypeIndex>(object_type(object));
    const uint64_t room = 8 * (end - object);
    bool good = true;
    if (load_word(object) != layout.refcount) return bad_word(Defect::kObjectContent, object);
    switch (type) {
        case TypeIndex::kStr: good = good_str(layout, object, room); break;
        case TypeIndex::kBytes: good = good_bytes(object, room); break;
        case TypeIndex::kInt: good = good_int(layout, object, room); break;
        case TypeIndex::kFloat: good = room >= 24; break;
        case TypeIndex::kComplex: good = room >= 32; break;
        case TypeIndex::kSlice: good = all_marked(object + 2, 3, end); break;
        case TypeIndex::kTuple: {
            const uint64_t size = load_word(object + kObjectSize / 8);
            good = !marked(object + kObjectSize / 8) &&
                   all_marked(object + layout.tuple_items / 8, size, end) &&
                   (layout.tuple_items == kTupleHash || unknown_hash(object + kTupleHash / 8));
            break;
        }
        case TypeIndex::kFrozenset:
            // What the hand-out does not set.
            good = room >= kSetSize && null_word(object + kSetWeakrefs / 8);
            break;
        case TypeIndex::kCode:
            good = layout.code_array == 0 ? good_code(layout, object, room)
                                          : good_older_code(layout, object, room);
            break;
        case TypeIndex::kCount: break;
    }
    return good ? Verdict{} : bad_word(Defect::kObjectContent, object);
}

bool Checker::null_word(uint64_t word) const {
    return !marked(word) && load_word(word) == 0;
}

bool Checker::unknown_hash(uint64_t word) const {
    return !marked(word) && load_word(word) == ~uint64_t{0};
}

bool Checker::all_marked(uint64_t first, uint64_t count, uint64_t end) const {
    if (first > end || count > end - first) return false;
    for (uint64_t word = first; word < first + count; ++word) {
        if (!marked(word)) return false;
    }
    return true;
}

bool Checker::none_marked(uint64_t first, uint64_t end) const {
    return internal_.find_next(first, end) == end && external_.find_next(first, end) == end;
}

bool Checker::good_str(const ObjectLayout& layout, uint64_t object, uint64_t room) const {
    if (room < layout.ascii_data || !none_marked(object + 2, object + room / 8)) return false;
    const uint64_t at = header_.objects_begin + 8 * object;
    const auto length = load<uint64_t>(at + kObjectSize);
    const auto state = load<uint32_t>(at + kStrState);
    const uint64_t kind = state >> kStrKindShift & 7;
    const bool ascii = (state & kStrAscii) != 0;
    const uint64_t data = ascii ? layout.ascii_data : layout.compact_data;
    if ((state & kStrCompact) == 0 || (kind != 1 && kind != 2 && kind != 4) ||
        (ascii && kind != 1) || room < data + kind || length > (room - data) / kind - 1) {
        return false;
    }
    // Neither a cached form nor, but where all have one, a hash.
    const bool has_hash = load<uint64_t>(at + kStrHash) != ~uint64_t{0};
    if (has_hash != (header_.interpreter.hash_probe != 0)) return false;
    const uint64_t caches = kStrState + 8;
    if (first_nonzero(image_ + at + caches, data - caches) != data - caches) return false;
    const std::byte* text = image_ + at + data;
    if (first_nonzero(text + length * kind, kind) != kind) return false;
    uint8_t all = 0;
    for (uint64_t i = 0; ascii && i < length; ++i) all |= static_cast<uint8_t>(text[i]);
    return all < 0x80;
}

bool Checker::good_bytes(uint64_t object, uint64_t room) const {
    if (room <= kBytesData || !none_marked(object + 2, object + room / 8)) return false;
    const uint64_t at = header_.objects_begin + 8 * object;
    const auto size = load<uint64_t>(at + kObjectSize);
    return size < room - kBytesData && load<char>(at + kBytesData + size) == '\0';
}

bool Checker::good_int(const ObjectLayout& layout, uint64_t object, uint64_t room) const {
    if (room < kIntDigits + 4 || !none_marked(object + 2, object + room / 8)) return false;
    const auto size = static_cast<int64_t>(load_word(object + kObjectSize / 8));
    const uint64_t digits = layout.int_has_tag ? static_cast<uint64_t>(size) >> 3
                            : size < 0         ? 0 - static_cast<uint64_t>(size)
                                               : static_cast<uint64_t>(size);
    return digits <= (room - kIntDigits) / 4;
}

// Is it a tuple of strings, of `size` if that is not kAnySize? What is the interpreter's own is not
// known.
bool Checker::good_names(const ObjectLayout& layout, uint64_t tuple, uint64_t size) const {
    const uint64_t count = load_word(tuple + kObjectSize / 8);
    if (size != kAnySize && count != size) return false;
    const uint64_t items = tuple + layout.tuple_items / 8;
    // Its own check may come later.
    if (items > object_words() || count > object_words() - items) return false;
    for (uint64_t word = items; word < items + count; ++word) {
        if (internal_.test(word) && pointed_type(word) != TypeIndex::kStr) return false;
    }
    return true;
}

TypeIndex Checker::pointed_type(uint64_t word) const {
    return static_cast<TypeIndex>(object_type_at_offset(load_word(word) - header_.requested_base));
}

uint64_t Checker::pointed_word(uint64_t word) const {
    return (load_word(word) - header_.requested_base - header_.objects_begin) / 8;
}

bool Checker::good_code(const ObjectLayout& layout, uint64_t object, uint64_t room) const {
    if (room < layout.code_size) return false;
    const uint64_t at = header_.objects_begin + 8 * object;
    const auto units = load<uint64_t>(at + kObjectSize);
    const auto locals = load<uint32_t>(at + layout.code_locals);
    const auto stack = load<uint32_t>(at + layout.code_stacksize);
    const auto traceable = load<uint64_t>(at + layout.code_traceable);
    if (marked(object + kObjectSize / 8) || units == 0 ||
        units > (room - layout.code_size) / 2 || locals > kMaxStack || stack > kMaxStack ||
        traceable > units) {
        return false;
    }
    for (const CodePointer& pointer : kCodePointers) {
        const uint64_t word = object + pointer.offset / 8;
        if (!marked(word)) return false;
        if (external_.test(word)) continue;
        if (pointed_type(word) != pointer.type) return false;
        const uint64_t target = pointed_word(word);
        const bool of_locals =
            pointer.offset >= kLocalsplusNames && pointer.offset <= kLocalsplusNames + 8;
        if (pointer.of_names && !good_names(layout, target, of_locals ? locals : kAnySize))
            return false;
        if (of_locals && load_word(target + kObjectSize / 8) != locals) return false;
    }
    for (uint64_t word = object + kCodePointersEnd / 8;
         word < object + layout.code_size / 8; ++word) {
        if (word != object + layout.code_traceable / 8 && !null_word(word)) return false;
    }
    return none_marked(object + layout.code_size / 8, object + room / 8);
}

// Instructions are in a bytes object, and each kind of variables in a tuple.
bool Checker::good_older_code(const ObjectLayout& layout, uint64_t object, uint64_t room) const {
    if (room < layout.code_size || !none_marked(object + 2, object + kOlderCode / 8)) return false;
    const uint64_t at = header_.objects_begin + 8 * object;
    const auto locals = load<uint32_t>(at + layout.code_locals);
    const auto stack = load<uint32_t>(at + layout.code_stacksize);
    if (locals > kMaxStack || stack > kMaxStack) return false;
    for (const CodePointer& pointer : kOlderCodePointers) {
        const uint64_t word = object + pointer.offset / 8;
        if (!marked(word)) return false;
        if (external_.test(word)) {
            // What is the interpreter's own is empty.
            if (pointer.offset == kOlderCode || (pointer.offset == kVarnames && locals != 0)) return false;
            continue;
        }
        if (pointed_type(word) != pointer.type) return false;
        const uint64_t size = load_word(pointed_word(word) + kObjectSize / 8);
        if (pointer.offset == kOlderCode && (size == 0 || size % 2 != 0)) return false;
        if (!pointer.of_names) continue;
        const uint64_t wanted = pointer.offset == kVarnames ? locals : kAnySize;
        if (size > kMaxStack || !good_names(layout, pointed_word(word), wanted)) return false;
    }
    for (uint64_t word = object + kOlderCodePointersEnd / 8; word < object + layout.code_size / 8;
         ++word) {
        if (!null_word(word)) return false;
    }
    return good_code_array(object + layout.code_array / 8, object + kCellvars / 8, locals) &&
           none_marked(object + layout.code_size / 8, object + room / 8);
}

// For each cell the number of the argument in it, which is the first of the variables, or -1.
bool Checker::good_code_array(uint64_t word, uint64_t cells, uint32_t locals) const {
    if (null_word(word)) return true;
    if (!internal_.test(word) || !internal_.test(cells)) return false;
    const uint64_t bytes = pointed_word(word) - kBytesData / 8;
    if (object_type(bytes) != static_cast<uint32_t>(TypeIndex::kBytes)) return false;
    const uint64_t count = load_word(pointed_word(cells) + kObjectSize / 8);
    // Its own check may come later.
    const uint64_t room = object_words() - pointed_word(word);
    if (count > room || load_word(bytes + kObjectSize / 8) != count * 8) return false;
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t argument = load_word(pointed_word(word) + i);
        if (argument != ~uint64_t{0} && argument >= locals) return false;
    }
    return true;
}

}  // namespace pycds::image
