// Edits of the root table, its index and lists, and the left-out table.
#include <string>
#include <utility>

#include "tests/unit/image/defect_cases.h"

namespace pycds::image {
namespace {

using Kind = RegionKind;

// Replaces the bytes of a root's path, keeping the hash right.
void rename_root(Forge& f, uint64_t i, const std::string& text) {
    f.root(i, [&](RootRecord& r) {
        std::memcpy(f.bytes.data() + f.offset(Kind::kPaths) + r.path_offset, text.data(),
                    text.size());
        r.path_hash = path_hash(text.data(), r.path_size);
    });
}

std::string root_path(const Forge& f, uint64_t i) {
    const auto root = f.get<RootRecord>(f.offset(Kind::kRoots) + i * sizeof(RootRecord));
    const std::byte* path = f.bytes.data() + f.offset(Kind::kPaths) + root.path_offset;
    return {reinterpret_cast<const char*>(path), root.path_size};
}

// The first entry of the index that holds a root.
uint64_t used_slot(const Forge& f) {
    uint64_t slot = 0;
    while (f.get_u32(Kind::kRootIndex, slot) == 0) ++slot;
    return slot;
}

uint64_t empty_slot(const Forge& f) {
    uint64_t slot = 0;
    while (f.get_u32(Kind::kRootIndex, slot) != 0) ++slot;
    return slot;
}

void edit_left_out(Forge& f, uint64_t i, const std::function<void(LeftOutRecord&)>& edit) {
    f.entry<LeftOutRecord>(Kind::kLeftOut, i, edit);
}

void edit_pattern(Forge& f, uint64_t i, const std::function<void(PatternRecord&)>& edit) {
    f.entry<PatternRecord>(Kind::kPatterns, i, edit);
}

void edit_frozenset(Forge& f, uint64_t i, const std::function<void(FrozensetRecord&)>& edit) {
    f.entry<FrozensetRecord>(Kind::kFrozensetLists, i, edit);
}

// Every root names one big frozenset, so that checking its elements is quadratic.
Forge repeated_frozenset() {
    constexpr uint32_t kRoots = 40;
    constexpr uint32_t kElements = 1000;
    Forge f({.roots = kRoots, .extra_bytes = 8 * kElements});
    // The extra words come right after the only element of the last frozenset.
    auto big = f.get<FrozensetRecord>(f.offset(Kind::kFrozensetLists) +
                                      (kRoots - 1) * sizeof(FrozensetRecord));
    const uint64_t element = f.get<uint64_t>(8 * uint64_t{big.elements});
    big.count = kElements;
    for (uint64_t i = 0; i < big.count; ++i) {
        f.set(8 * (big.elements + i), element);
        f.mark_internal(8 * (big.elements + i));
    }
    for (uint64_t i = 0; i < kRoots; ++i) {
        edit_frozenset(f, i, [&](FrozensetRecord& r) { r = big; });
    }
    return f;
}

// Where in the intern lists the number of slots of the last string is, which has one.
uint64_t last_intern_count(const Forge& f) {
    const Header h = f.get<Header>(0);
    return find_region(h, Kind::kInternLists)->count - 2;
}

void leave_last_slot_out(Forge& f) {
    const uint64_t count = last_intern_count(f);
    f.set_u32(Kind::kInternLists, count, 0);
    f.set_u32(Kind::kInternLists, count + 1, 0);
    f.region(Kind::kInternLists, [](RegionEntry& r) {
        --r.count;
        r.size -= sizeof(uint32_t);
    });
    f.root(2, [](RootRecord& r) { --r.intern_size; });
}

// So many roots with one home slot that finding them all is quadratic.
Forge crowded_index() {
    constexpr size_t kRoots = 400;
    constexpr uint64_t kMask = 1023;  // of the 1024 slots that a tiny image gives them
    std::vector<std::string> paths;
    for (uint64_t i = 0; paths.size() < kRoots; ++i) {
        std::string path = "/" + std::to_string(i);
        if ((path_hash(path.data(), path.size()) & kMask) == 0) paths.push_back(std::move(path));
    }
    return Forge({.paths = std::move(paths)});
}

}  // namespace

const std::vector<DefectCase>& table_cases() {
    static const std::vector<DefectCase> cases = {
        {"RootOrder_Swapped", Defect::kRootOrder,
         [](Forge& f) {
             const std::string first = root_path(f, 0);
             const std::string second = root_path(f, 1);
             rename_root(f, 0, second);
             rename_root(f, 1, first);
         }},
        {"RootOrder_Equal", Defect::kRootOrder,
         [](Forge& f) { rename_root(f, 0, root_path(f, 1)); }},
        {"RootPath_Outside", Defect::kRootPath,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.path_offset = 0xFFFF'FFFF; }); }},
        {"RootPath_JustOutside", Defect::kRootPath,
         [](Forge& f) {
             const Header h = f.get<Header>(0);
             const uint64_t size = find_region(h, Kind::kPaths)->size;
             f.root(0, [&](RootRecord& r) {
                 r.path_offset = static_cast<uint32_t>(size - r.path_size);
             });
         }},
        {"RootPath_Relative", Defect::kRootPath,
         [](Forge& f) { rename_root(f, 0, "x" + root_path(f, 0).substr(1)); }},
        {"RootPath_WithoutItsNul", Defect::kRootPath,
         [](Forge& f) { f.root(0, [](RootRecord& r) { --r.path_size; }); }},
        {"RootPath_InnerNul", Defect::kRootPath,
         [](Forge& f) {
             std::string path = root_path(f, 0);
             path[4] = '\0';
             rename_root(f, 0, path);
         }},
        {"RootPath_Empty", Defect::kRootPath,
         [](Forge& f) {
             f.root(0, [](RootRecord& r) { r.path_offset += r.path_size, r.path_size = 0; });
         }},
        {"RootPath_TooLong", Defect::kRootPath,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.path_size = kMaxPathSize + 1; }); }},
        {"RootPath_Pyc", Defect::kRootPath,
         [](Forge& f) { f.root(0, [](RootRecord& r) { ++r.pyc_offset; }); }},
        {"RootHash", Defect::kRootHash,
         [](Forge& f) { f.root(1, [](RootRecord& r) { r.path_hash ^= 1; }); }},
        {"RootCode_Unaligned", Defect::kRootCode,
         [](Forge& f) { f.root(0, [](RootRecord& r) { ++r.code_offset; }); }},
        {"RootCode_MiddleOfAnObject", Defect::kRootCode,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.code_offset += 16; }); }},
        {"RootCode_AnotherType", Defect::kRootCode,
         [](Forge& f) {
             const uint64_t string = f.offset(Kind::kStrDoc);
             f.root(0, [&](RootRecord& r) { r.code_offset = string; });
         }},
        {"RootCode_OfAnotherRoot", Defect::kRootCode,
         [](Forge& f) {
             const auto other = f.get<RootRecord>(f.offset(Kind::kRoots) + sizeof(RootRecord));
             f.root(0, [&](RootRecord& r) { r.code_offset = other.code_offset; });
         }},
        {"RootCode_AFunction", Defect::kRootCode,
         [](Forge& f) {
             const uint64_t function = f.offset(Kind::kCodeFunctions);
             f.root(0, [&](RootRecord& r) { r.code_offset = function; });
         }},
        {"RootCode_Outside", Defect::kRootCode,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.code_offset = ~uint64_t{15}; }); }},
        {"RootCode_Header", Defect::kRootCode,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.code_offset = 0; }); }},
        {"Reserved_Root", Defect::kReserved,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.reserved = 1; }); }},
        {"RootFlags", Defect::kRootFlags,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.flags = 2; }); }},
        {"RootLists_InternOutside", Defect::kRootLists,
         [](Forge& f) { f.root(2, [](RootRecord& r) { ++r.intern_first; }); }},
        {"RootLists_InternWraps", Defect::kRootLists,
         [](Forge& f) {
             f.root(0, [](RootRecord& r) { r.intern_first = 1, r.intern_size = 0xFFFF'FFFF; });
         }},
        {"RootLists_FrozensetOutside", Defect::kRootLists,
         [](Forge& f) { f.root(2, [](RootRecord& r) { ++r.frozenset_count; }); }},
        {"RootLists_InternShared", Defect::kRootLists,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.intern_size *= 3; }); }},
        {"RootLists_InternsOfNobody", Defect::kRootLists,
         [](Forge& f) { f.root(2, [](RootRecord& r) { r.intern_size = 0; }); }},
        {"RootLists_InternsLeftOut", Defect::kRootLists,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.intern_size = 0; }); }},
        {"RootLists_InternsOfAnother", Defect::kRootLists,
         [](Forge& f) {
             const auto other = f.get<RootRecord>(f.offset(Kind::kRoots) + sizeof(RootRecord));
             f.root(0, [&](RootRecord& r) { r.intern_first = other.intern_first; });
         }},
        {"RootLists_FrozensetShared", Defect::kRootLists,
         [](Forge& f) { f.root(0, [](RootRecord& r) { r.frozenset_count = 3; }); }},
        {"RootLists_FrozensetsOfNobody", Defect::kRootLists,
         [](Forge& f) { f.root(2, [](RootRecord& r) { r.frozenset_count = 0; }); }},
        {"RootLists_FrozensetsOutOfOrder", Defect::kRootLists,
         [](Forge& f) {
             f.root(0, [](RootRecord& r) { r.frozenset_first = 1; });
             f.root(1, [](RootRecord& r) { r.frozenset_first = 0; });
         }},
        {"RootIndex_NotAPowerOfTwo", Defect::kRootIndex,
         [](Forge& f) {
             f.region(Kind::kRootIndex, [](RegionEntry& r) { r.count = 7, r.size = 28; });
             f.set_u32(Kind::kRootIndex, 7, 0);
         }},
        {"RootIndex_NoSlots", Defect::kRootIndex,
         [](Forge& f) {
             f.region(Kind::kRootIndex, [](RegionEntry& r) { r.count = r.size = 0; });
             for (uint64_t i = 0; i < 8; ++i) f.set_u32(Kind::kRootIndex, i, 0);
         }},
        {"RootIndex_NoEmptySlot", Defect::kRootIndex,
         [](Forge& f) {
             f.region(Kind::kRootIndex, [](RegionEntry& r) { r.count = 2, r.size = 8; });
             for (uint64_t i = 0; i < 8; ++i) {
                 f.set_u32(Kind::kRootIndex, i, i < 2 ? static_cast<uint32_t>(i + 1) : 0);
             }
         }},
        {"RootIndex_AnotherRoot", Defect::kRootIndex,
         [](Forge& f) { f.set_u32(Kind::kRootIndex, used_slot(f), 4); }},
        {"RootIndex_HugeRoot", Defect::kRootIndex,
         [](Forge& f) { f.set_u32(Kind::kRootIndex, used_slot(f), 0xFFFF'FFFF); }},
        {"RootIndex_OneMissing", Defect::kRootIndex,
         [](Forge& f) { f.set_u32(Kind::kRootIndex, used_slot(f), 0); }},
        {"RootIndex_OneTooMany", Defect::kRootIndex,
         [](Forge& f) { f.set_u32(Kind::kRootIndex, empty_slot(f), 1); }},
        {"RootIndex_OneTwice", Defect::kRootIndex,
         [](Forge& f) {
             const uint64_t slot = used_slot(f);
             f.set_u32(Kind::kRootIndex, slot, f.get_u32(Kind::kRootIndex, slot) % 3 + 1);
         }},
        {"RootIndex_OutOfReach", Defect::kRootIndex,
         [](Forge& f) {
             // Alone in the slot before its home.
             f = Forge({.roots = 1});
             std::swap(*reinterpret_cast<uint32_t*>(&f.bytes[f.offset(Kind::kRootIndex)]),
                       *reinterpret_cast<uint32_t*>(&f.bytes[f.offset(Kind::kRootIndex) + 4]));
         }},
        {"RootIndex_Crowded", Defect::kRootIndex, [](Forge& f) { f = crowded_index(); }},
        {"InternEntry_NotAnObject", Defect::kInternEntry,
         [](Forge& f) { f.set_u32(Kind::kInternLists, 0, f.get_u32(Kind::kInternLists, 0) + 1); }},
        {"InternEntry_NotInterned", Defect::kInternEntry,
         [](Forge& f) {
             const auto doc = static_cast<uint32_t>(f.offset(Kind::kStrDoc) / 8);
             f.set_u32(Kind::kInternLists, 0, doc);
         }},
        {"InternEntry_Outside", Defect::kInternEntry,
         [](Forge& f) { f.set_u32(Kind::kInternLists, 0, 0xFFFF'FFFF); }},
        {"InternEntry_AnotherString", Defect::kInternEntry,
         [](Forge& f) {
             // The shared string comes first in its region.
             const auto shared = static_cast<uint32_t>(f.offset(Kind::kStrInterned) / 8);
             f.set_u32(Kind::kInternLists, 0, shared);
         }},
        {"InternEntry_TooManySlots", Defect::kInternEntry,
         [](Forge& f) { f.set_u32(Kind::kInternLists, 1, 0xFFFF'FFFF); }},
        {"InternEntry_OneSlotTooMany", Defect::kInternEntry,
         [](Forge& f) { f.set_u32(Kind::kInternLists, last_intern_count(f), 2); }},
        {"InternEntry_NoCount", Defect::kInternEntry,
         [](Forge& f) { f.set_u32(Kind::kInternLists, last_intern_count(f), 0); }},
        {"InternEntry_SlotOutside", Defect::kInternEntry,
         [](Forge& f) { f.set_u32(Kind::kInternLists, 2, 0xFFFF'FFFF); }},
        {"InternEntry_SlotInTheHeader", Defect::kInternEntry,
         [](Forge& f) { f.set_u32(Kind::kInternLists, 2, 0); }},
        {"InternEntry_SlotInATable", Defect::kInternEntry,
         [](Forge& f) {
             const auto table = static_cast<uint32_t>(f.offset(Kind::kRoots) / 8);
             f.set_u32(Kind::kInternLists, 2, table);
         }},
        {"InternEntry_SlotOfAnotherPointer", Defect::kInternEntry,
         [](Forge& f) {
             const auto slot = static_cast<uint32_t>((f.offset(Kind::kCodeRunOnce) + 24) / 8);
             f.set_u32(Kind::kInternLists, 2, slot);
         }},
        {"InternEntry_UnmarkedSlot", Defect::kInternEntry,
         [](Forge& f) {
             const uint64_t slot = 8 * uint64_t{f.get_u32(Kind::kInternLists, 2)};
             f.mark(Kind::kPtrmapInternal, slot, false);
         }},
        {"InternEntry_SlotTwice", Defect::kInternEntry,
         [](Forge& f) { f.set_u32(Kind::kInternLists, 3, f.get_u32(Kind::kInternLists, 2)); }},
        {"InternEntry_SlotLeftOut", Defect::kInternEntry, [](Forge& f) { leave_last_slot_out(f); }},
        {"FrozensetEntry_Outside", Defect::kFrozensetEntry,
         [](Forge& f) {
             edit_frozenset(f, 0, [](FrozensetRecord& r) { r.object = 0xFFFF'FFFF; });
         }},
        {"FrozensetEntry_GcHead", Defect::kFrozensetEntry,
         [](Forge& f) { edit_frozenset(f, 0, [](FrozensetRecord& r) { r.object -= 2; }); }},
        {"FrozensetEntry_ATuple", Defect::kFrozensetEntry,
         [](Forge& f) {
             const auto tuple = static_cast<uint32_t>((f.offset(Kind::kTupleNames) + 16) / 8);
             edit_frozenset(f, 2, [&](FrozensetRecord& r) { r.object = tuple; });
         }},
        {"FrozensetEntry_ElementsOutside", Defect::kFrozensetEntry,
         [](Forge& f) {
             edit_frozenset(f, 0, [](FrozensetRecord& r) { r.elements = 0xFFFF'FFFF; });
         }},
        {"FrozensetEntry_ElementsBefore", Defect::kFrozensetEntry,
         [](Forge& f) {
             edit_frozenset(f, 2, [&](FrozensetRecord& r) {
                 r.elements = f.get<FrozensetRecord>(f.offset(Kind::kFrozensetLists)).elements;
             });
         }},
        {"FrozensetEntry_ElementsOfAnother", Defect::kFrozensetEntry,
         [](Forge& f) {
             edit_frozenset(f, 0, [&](FrozensetRecord& r) {
                 r.elements = f.get<FrozensetRecord>(f.offset(Kind::kFrozensetLists) +
                                                     sizeof(FrozensetRecord))
                                  .elements;
             });
         }},
        {"FrozensetEntry_ItsTypeAsElement", Defect::kFrozensetEntry,
         [](Forge& f) {
             edit_frozenset(f, 0, [](FrozensetRecord& r) { r.elements = r.object + 1; });
         }},
        {"FrozensetEntry_UnmarkedElement", Defect::kFrozensetEntry,
         [](Forge& f) { edit_frozenset(f, 0, [](FrozensetRecord& r) { --r.elements; }); }},
        {"FrozensetEntry_OneElementTooMany", Defect::kFrozensetEntry,
         [](Forge& f) { edit_frozenset(f, 2, [](FrozensetRecord& r) { ++r.count; }); }},
        {"FrozensetEntry_ManyElements", Defect::kFrozensetEntry,
         [](Forge& f) { edit_frozenset(f, 0, [](FrozensetRecord& r) { r.count = 0xFFFF'FFFF; }); }},
        {"FrozensetEntry_Twice", Defect::kFrozensetEntry,
         [](Forge& f) {
             const auto first = f.get<FrozensetRecord>(f.offset(Kind::kFrozensetLists));
             edit_frozenset(f, 1, [&](FrozensetRecord& r) { r = first; });
         }},
        {"FrozensetEntry_OneUnlisted", Defect::kFrozensetEntry,
         [](Forge& f) {
             f.root(2, [](RootRecord& r) { r.frozenset_count = 0; });
             edit_frozenset(f, 2, [](FrozensetRecord& r) { r = FrozensetRecord{}; });
             f.region(Kind::kFrozensetLists, [](RegionEntry& r) {
                 --r.count;
                 r.size -= sizeof(FrozensetRecord);
             });
         }},
        {"FrozensetEntry_ElementsAgainAndAgain", Defect::kFrozensetEntry,
         [](Forge& f) { f = repeated_frozenset(); }},
        {"LeftOutEntry_ReasonZero", Defect::kLeftOutEntry,
         [](Forge& f) {
             edit_left_out(f, 0,
                           [](LeftOutRecord& r) { r.reason = static_cast<LeftOutReason>(0); });
         }},
        {"LeftOutEntry_UnknownReason", Defect::kLeftOutEntry,
         [](Forge& f) {
             edit_left_out(f, 0,
                           [](LeftOutRecord& r) { r.reason = static_cast<LeftOutReason>(13); });
         }},
        {"LeftOutEntry_PathOutside", Defect::kLeftOutEntry,
         [](Forge& f) { edit_left_out(f, 1, [](LeftOutRecord& r) { ++r.path_offset; }); }},
        {"LeftOutEntry_RelativePath", Defect::kLeftOutEntry,
         [](Forge& f) {
             edit_left_out(f, 0, [](LeftOutRecord& r) { ++r.path_offset, --r.path_size; });
         }},
        {"LeftOutEntry_BadPathOutside", Defect::kLeftOutEntry,
         [](Forge& f) {
             edit_left_out(f, 0, [](LeftOutRecord& r) {
                 r.reason = LeftOutReason::kPath;
                 r.path_offset = 0xFFFF'FFFF;
             });
         }},
        {"LeftOutEntry_Order", Defect::kLeftOutEntry,
         [](Forge& f) {
             const uint64_t table = f.offset(Kind::kLeftOut);
             const auto first = f.get<LeftOutRecord>(table);
             f.set(table, f.get<LeftOutRecord>(table + sizeof first));
             f.set(table + sizeof first, first);
         }},
        {"Reserved_LeftOut", Defect::kReserved,
         [](Forge& f) { edit_left_out(f, 0, [](LeftOutRecord& r) { r.reserved = 1; }); }},
        {"PatternEntry_Order", Defect::kPatternEntry,
         [](Forge& f) { edit_pattern(f, 1, [](PatternRecord& r) { r.hash = 0x1234; }); }},
        {"PatternEntry_NoObject", Defect::kPatternEntry,
         [](Forge& f) { edit_pattern(f, 0, [](PatternRecord& r) { ++r.entry; }); }},
        {"PatternEntry_NoTuple", Defect::kPatternEntry,
         [](Forge& f) {
             const auto string = static_cast<uint32_t>(f.offset(Kind::kStrInterned) / 8);
             edit_pattern(f, 0, [=](PatternRecord& r) { r.entry = string; });
         }},
        {"PatternEntry_Outside", Defect::kPatternEntry,
         [](Forge& f) { edit_pattern(f, 0, [](PatternRecord& r) { r.entry = 0xFFFF'FFFF; }); }},
        {"Reserved_Pattern", Defect::kReserved,
         [](Forge& f) { edit_pattern(f, 0, [](PatternRecord& r) { r.reserved = 1; }); }},
    };
    return cases;
}

}  // namespace pycds::image
