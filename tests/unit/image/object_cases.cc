// Edits of the object regions, the ptrmaps and the external references.
#include "tests/unit/image/defect_cases.h"

#include <cstring>

#include "src/common/image/object_layout.h"

namespace pycds::image {
namespace {

using Kind = RegionKind;

// Objects of the tiny image by offset; see make_root() in tiny_image.cc.
uint64_t first_code(const Forge& f) {
    return f.offset(Kind::kCodeRunOnce);
}
uint64_t consts_of_first_code(const Forge& f) {
    return first_code(f) + 24;
}
uint64_t first_tuple(const Forge& f) {
    return f.offset(Kind::kTupleNames) + 16;
}
uint64_t none_of(const Forge& f) {
    return f.external(ExternalKind::kSingleton, 0);
}

void point_first_slot_to(Forge& f, uint64_t address) {
    f.set(consts_of_first_code(f), address);
}

}  // namespace

const std::vector<DefectCase>& object_cases() {
    static const std::vector<DefectCase> cases = {
        {"Padding_BetweenRegions", Defect::kPadding,
         [](Forge& f) { f.bytes[f.offset(Kind::kStrDoc) - 1] = std::byte{1}; }},
        {"Padding_AtTheEnd", Defect::kPadding, [](Forge& f) { f.bytes.back() = std::byte{1}; }},
        {"PtrmapSize_Internal", Defect::kPtrmapSize,
         [](Forge& f) {
             f.region(Kind::kPtrmapInternal, [](RegionEntry& r) { r.size += 8, ++r.count; });
         }},
        {"PtrmapSize_External", Defect::kPtrmapSize,
         [](Forge& f) {
             f.region(Kind::kPtrmapExternal, [](RegionEntry& r) { r.size = r.count = 0; });
             std::memset(f.bytes.data() + f.offset(Kind::kPtrmapExternal), 0, kPageSize);
         }},
        {"PtrmapOverlap", Defect::kPtrmapOverlap,
         [](Forge& f) { f.mark_external(consts_of_first_code(f)); }},
        {"PtrmapStray_Internal", Defect::kPtrmapStray,
         [](Forge& f) { f.mark_internal(f.offset(Kind::kCodeFunctions) - 8); }},
        {"PtrmapStray_External", Defect::kPtrmapStray,
         [](Forge& f) { f.mark_external(f.offset(Kind::kRoots) - 8); }},
        {"PtrmapStray_JustBehindTheLastObject", Defect::kPtrmapStray,
         [](Forge& f) {
             const Header h = f.get<Header>(0);
             f.mark_internal(h.regions[0].offset + h.regions[0].size);
         }},
        {"PtrmapStray_PartOfAWord", Defect::kPtrmapStray,
         [](Forge& f) {
             f.region(Kind::kFrozensets, [](RegionEntry& r) { r.size -= 4; });
             const Header h = f.get<Header>(0);
             const RegionEntry region = *find_region(h, Kind::kFrozensets);
             std::memset(f.bytes.data() + region.offset + region.size, 0, 4);
         }},
        {"ExternalOrder", Defect::kExternalOrder,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 0,
                                        [](ExternalReference& r) { r.address += 0x10'0000; });
         }},
        {"ExternalOrder_Equal", Defect::kExternalOrder,
         [](Forge& f) {
             const uint64_t first = f.get<uint64_t>(f.offset(Kind::kExternals));
             f.entry<ExternalReference>(Kind::kExternals, 1,
                                        [&](ExternalReference& r) { r.address = first; });
         }},
        {"ExternalEntry_Kind", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 0, [](ExternalReference& r) {
                 r.kind = static_cast<ExternalKind>(99);
             });
         }},
        {"ExternalEntry_TypeIndex", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 0, [](ExternalReference& r) {
                 r.index = static_cast<uint64_t>(TypeIndex::kCount);
             });
         }},
        {"ExternalEntry_TypeTwice", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 1,
                                        [](ExternalReference& r) { r.index = 0; });
         }},
        {"ExternalEntry_SingletonIndex", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 12,
                                        [](ExternalReference& r) { r.index = ~uint64_t{0}; });
         }},
        {"ExternalEntry_SingletonTwice", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 12,
                                        [](ExternalReference& r) { r.index = 0; });
         }},
        {"ExternalEntry_Null", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 0,
                                        [](ExternalReference& r) { r.address = 0; });
         }},
        {"ExternalEntry_InsideTheImage", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 13,
                                        [&](ExternalReference& r) { r.address = f.base() + 64; });
         }},
        {"ExternalEntry_RuntimeBeforeItsStart", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 13,
                                        [](ExternalReference& r) { r.index = r.address + 1; });
         }},
        {"ExternalEntry_TwoRuntimes", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 12, [](ExternalReference& r) {
                 r.kind = ExternalKind::kRuntime;
                 r.index = 0;
             });
         }},
        {"ExternalEntry_HeapSingletonElsewhere", Defect::kExternalEntry,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 13, [](ExternalReference& r) {
                 r.kind = ExternalKind::kHeapSingleton;
                 r.index = 1;
             });
         }},
        {"ExternalEntry_HeapSingletonIndex", Defect::kExternalEntry,
         [](Forge& f) {
             constexpr auto kNone = static_cast<uint64_t>(HeapSingleton::kCount);
             f.entry<ExternalReference>(Kind::kExternals, 0, [](ExternalReference& r) {
                 r.kind = ExternalKind::kHeapSingleton;
                 r.index = kNone;
                 r.address = heap_singleton_address(kNone);
             });
         }},
        {"Reserved_External", Defect::kReserved,
         [](Forge& f) {
             f.entry<ExternalReference>(Kind::kExternals, 0,
                                        [](ExternalReference& r) { r.reserved = 1; });
         }},
        {"ExternalWord_Unlisted", Defect::kExternalWord,
         [](Forge& f) { f.set(first_code(f) + 8, f.type(TypeIndex::kCode) + 8); }},
        {"ExternalWord_Null", Defect::kExternalWord,
         [](Forge& f) { f.set(first_code(f) + 8, uint64_t{0}); }},
        {"ExternalWord_Beyond", Defect::kExternalWord,
         [](Forge& f) { f.set(first_code(f) + 8, ~uint64_t{0}); }},
        {"ObjectStart_Misaligned", Defect::kObjectStart,
         [](Forge& f) {
             f.set(first_code(f) + 16, f.type(TypeIndex::kCode));
             f.mark_external(first_code(f) + 16);
         }},
        {"ObjectStart_BeforeItsRegion", Defect::kObjectStart,
         [](Forge& f) {
             f.set(first_code(f), f.type(TypeIndex::kCode));
             f.mark_external(first_code(f));
         }},
        {"ObjectStart_MarkedReferenceCount", Defect::kObjectStart,
         [](Forge& f) {
             f.set(first_code(f), none_of(f));
             f.mark_external(first_code(f));
         }},
        {"ObjectStart_EmbeddedReferenceCount", Defect::kObjectStart,
         [](Forge& f) {
             f.set(first_code(f), f.base() + first_code(f));
             f.mark_internal(first_code(f));
         }},
        {"ObjectStart_GcHead", Defect::kObjectStart,
         [](Forge& f) { f.set(first_tuple(f) - 16, uint64_t{2}); }},
        {"ObjectStart_GcHeadSecondWord", Defect::kObjectStart,
         [](Forge& f) { f.set(first_tuple(f) - 8, uint64_t{2}); }},
        {"ObjectStart_MarkedGcHead", Defect::kObjectStart,
         [](Forge& f) { f.mark_internal(first_tuple(f) - 8); }},
        {"ObjectStart_NoRoomForAGcHead", Defect::kObjectStart,
         [](Forge& f) {
             const uint64_t start = f.offset(Kind::kTupleNames);
             f.set(start + 8, f.type(TypeIndex::kTuple));
             f.mark_external(start + 8);
         }},
        {"ObjectType_StrAmongCode", Defect::kObjectType,
         [](Forge& f) { f.set(first_code(f) + 8, f.type(TypeIndex::kStr)); }},
        {"ObjectType_CodeAmongStr", Defect::kObjectType,
         [](Forge& f) { f.set(f.offset(Kind::kStrDoc) + 8, f.type(TypeIndex::kCode)); }},
        {"ObjectType_SliceAmongNames", Defect::kObjectType,
         [](Forge& f) { f.set(first_tuple(f) + 8, f.type(TypeIndex::kSlice)); }},
        {"ObjectType_BytesAmongNumbers", Defect::kObjectType,
         [](Forge& f) { f.set(f.offset(Kind::kNumbers) + 8, f.type(TypeIndex::kBytes)); }},
        {"ObjectCount_TooMany", Defect::kObjectCount,
         [](Forge& f) { f.region(Kind::kStrDoc, [](RegionEntry& r) { --r.count; }); }},
        {"ObjectCount_TooFew", Defect::kObjectCount,
         [](Forge& f) { f.mark(Kind::kPtrmapExternal, f.offset(Kind::kBytes) + 8, false); }},
        {"InternalWord_Unaligned", Defect::kInternalWord,
         [](Forge& f) { point_first_slot_to(f, f.base() + first_code(f) + 1); }},
        {"InternalWord_MiddleOfAnObject", Defect::kInternalWord,
         [](Forge& f) { point_first_slot_to(f, f.base() + first_code(f) + 16); }},
        {"InternalWord_ContentsOfAString", Defect::kInternalWord,
         [](Forge& f) {
             point_first_slot_to(f, f.base() + f.offset(Kind::kStrDoc) + kBytesData);
         }},
        {"InternalWord_ContentsOfBytes", Defect::kInternalWord,
         [](Forge& f) {
             point_first_slot_to(f, f.base() + f.offset(Kind::kBytes) + kBytesData);
         }},
        {"InternalWord_GcHead", Defect::kInternalWord,
         [](Forge& f) { point_first_slot_to(f, f.base() + first_tuple(f) - 16); }},
        {"InternalWord_Null", Defect::kInternalWord, [](Forge& f) { point_first_slot_to(f, 0); }},
        {"InternalWord_BelowTheBase", Defect::kInternalWord,
         [](Forge& f) { point_first_slot_to(f, f.base() - 16); }},
        {"InternalWord_TheHeader", Defect::kInternalWord,
         [](Forge& f) { point_first_slot_to(f, f.base()); }},
        {"InternalWord_ATable", Defect::kInternalWord,
         [](Forge& f) { point_first_slot_to(f, f.base() + f.offset(Kind::kRoots)); }},
        {"InternalWord_LastWordOfTheObjects", Defect::kInternalWord,
         [](Forge& f) { point_first_slot_to(f, f.base() + f.offset(Kind::kRoots) - 8); }},
        {"InternalWord_External", Defect::kInternalWord,
         [](Forge& f) { point_first_slot_to(f, none_of(f)); }},
        // The objects of the tiny image are none of 3.13; tests/forge has real ones.
        {"ObjectContent_OfAnotherVersion", Defect::kObjectContent,
         [](Forge& f) { f.identity([](InterpreterIdentity& id) { id.hexversion = 0x030D05F0; }); }},
    };
    return cases;
}

}  // namespace pycds::image
