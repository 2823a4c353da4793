// Edits of the first page.
#include "tests/unit/image/defect_cases.h"

#include <cstring>
#include <utility>

namespace pycds::image {
namespace {

using Kind = RegionKind;

}  // namespace

const std::vector<DefectCase>& header_cases() {
    static const std::vector<DefectCase> cases = {
        {"Base_Unaligned", Defect::kBase,
         [](Forge& f) { f.header([](Header& h) { h.requested_base += 8; }); }},
        {"Base_Null", Defect::kBase,
         [](Forge& f) { f.header([](Header& h) { h.requested_base = 0; }); }},
        {"Base_Wraps", Defect::kBase,
         [](Forge& f) { f.header([](Header& h) { h.requested_base = -kPageSize; }); }},
        {"Domain_Unknown", Defect::kDomain,
         [](Forge& f) { f.header([](Header& h) { h.domain = static_cast<DomainKind>(3); }); }},
        {"Domain_SystemWithUid", Defect::kDomain,
         [](Forge& f) { f.header([](Header& h) { h.domain_uid = 1000; }); }},
        {"CoVersions_Wrap", Defect::kCoVersions,
         [](Forge& f) { f.header([](Header& h) { h.first_co_version = 0xFFFF'FFFF; }); }},
        {"CoVersions_TooMany", Defect::kCoVersions,
         [](Forge& f) { f.header([](Header& h) { h.co_version_count = kMaxCodeObjects + 1; }); }},
        {"CoVersions_FromZero", Defect::kCoVersions,
         [](Forge& f) { f.header([](Header& h) { h.first_co_version = 0; }); }},
        {"Reserved_Prefix", Defect::kReserved,
         [](Forge& f) { f.header([](Header& h) { h.prefix.reserved = 1; }); }},
        {"Reserved_Identity", Defect::kReserved,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.reserved[6] = 1; }); }},
        {"Reserved_IdentityEnd", Defect::kReserved,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.reserved_end[23] = 1; }); }},
        {"Reserved_BuildId", Defect::kReserved,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.build_id[31] = 1; }); }},
        {"Reserved_Region", Defect::kReserved,
         [](Forge& f) { f.region(Kind::kPaths, [](RegionEntry& r) { r.reserved = 1; }); }},
        {"Reserved_TableHotSize", Defect::kReserved,
         [](Forge& f) { f.region(Kind::kPaths, [](RegionEntry& r) { r.hot_size = 1; }); }},
        {"Reserved_UnusedRegion", Defect::kReserved,
         [](Forge& f) { f.header([](Header& h) { h.regions[kMaxRegions - 1].count = 1; }); }},
        {"IdentityDigest", Defect::kIdentityDigest,
         [](Forge& f) { f.header([](Header& h) { ++h.interpreter.hexversion; }); }},
        {"Identity_NoBuildId", Defect::kIdentity,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.build_id_size = 0; }); }},
        {"Identity_LongBuildId", Defect::kIdentity,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.build_id_size = 33; }); }},
        {"Identity_Optimize", Defect::kIdentity,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.optimize = 3; }); }},
        {"Identity_DebugRanges", Defect::kIdentity,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.debug_ranges = 2; }); }},
        {"Identity_PointerSize", Defect::kIdentity,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.pointer_size = 4; }); }},
        {"Identity_DigitBits", Defect::kIdentity,
         [](Forge& f) { f.identity([](InterpreterIdentity& i) { i.digit_bits = 31; }); }},
        {"Text_PythonUnterminated", Defect::kText,
         [](Forge& f) {
             f.header([](Header& h) { std::memset(h.python, 'x', sizeof h.python); });
         }},
        {"Text_PythonAfterItsEnd", Defect::kText,
         [](Forge& f) { f.header([](Header& h) { h.python[127] = 'x'; }); }},
        {"Text_CacheTagUnterminated", Defect::kText,
         [](Forge& f) {
             f.identity([](InterpreterIdentity& i) { std::memset(i.cache_tag, 'x', 32); });
         }},
        {"RegionCount_TooMany", Defect::kRegionCount,
         [](Forge& f) { f.header([](Header& h) { h.region_count = kMaxRegions + 1; }); }},
        {"RegionCount_TooFew", Defect::kRegionCount,
         [](Forge& f) { f.header([](Header& h) { h.region_count = kTableKinds - 1; }); }},
        {"RegionKind_Unknown", Defect::kRegionKind,
         [](Forge& f) {
             f.region(Kind::kFrozensets, [](RegionEntry& r) { r.kind = static_cast<Kind>(13); });
         }},
        {"RegionKind_Zero", Defect::kRegionKind,
         [](Forge& f) { f.header([](Header& h) { h.regions[0].kind = static_cast<Kind>(0); }); }},
        {"RegionKind_Twice", Defect::kRegionKind,
         [](Forge& f) {
             f.region(Kind::kStrDoc, [](RegionEntry& r) { r.kind = Kind::kStrInterned; });
         }},
        {"RegionKind_OutOfOrder", Defect::kRegionKind,
         [](Forge& f) {
             f.header([](Header& h) { std::swap(h.regions[2].kind, h.regions[3].kind); });
         }},
        {"RegionKind_TableMissing", Defect::kRegionKind,
         [](Forge& f) {
             f.header([](Header& h) { h.regions[--h.region_count] = RegionEntry{}; });
         }},
        {"RegionBounds_Unaligned", Defect::kRegionBounds,
         [](Forge& f) { f.region(Kind::kStrDoc, [](RegionEntry& r) { r.offset += 16; }); }},
        {"RegionBounds_InTheHeader", Defect::kRegionBounds,
         [](Forge& f) { f.region(Kind::kCodeRunOnce, [](RegionEntry& r) { r.offset = 0; }); }},
        {"RegionBounds_Overlap", Defect::kRegionBounds,
         [](Forge& f) { f.region(Kind::kStrDoc, [](RegionEntry& r) { r.size += kPageSize; }); }},
        {"RegionBounds_Outside", Defect::kRegionBounds,
         [](Forge& f) { f.region(Kind::kLeftOut, [](RegionEntry& r) { r.offset += kPageSize; }); }},
        {"RegionBounds_SizeWraps", Defect::kRegionBounds,
         [](Forge& f) { f.region(Kind::kLeftOut, [](RegionEntry& r) { r.size = -r.offset; }); }},
        {"RegionBounds_HotSize", Defect::kRegionBounds,
         [](Forge& f) {
             f.region(Kind::kStrDoc, [](RegionEntry& r) { r.hot_size = r.size + 1; });
         }},
        {"RegionBounds_StartupStrings", Defect::kRegionBounds,
         [](Forge& f) { f.header([](Header& h) { h.startup_strings_size = 0x7fffffff; }); }},
        {"ObjectBounds_Begin", Defect::kObjectBounds,
         [](Forge& f) { f.header([](Header& h) { h.objects_begin += kPageSize; }); }},
        {"ObjectBounds_End", Defect::kObjectBounds,
         [](Forge& f) { f.header([](Header& h) { h.objects_end -= kPageSize; }); }},
        {"RegionCountField_Table", Defect::kRegionCountField,
         [](Forge& f) { f.region(Kind::kRoots, [](RegionEntry& r) { ++r.count; }); }},
        {"RegionCountField_PartOfAnEntry", Defect::kRegionCountField,
         [](Forge& f) { f.region(Kind::kRoots, [](RegionEntry& r) { ++r.size; }); }},
        {"RegionCountField_Multiplied", Defect::kRegionCountField,
         [](Forge& f) {
             // 8 * count wraps to the size.
             f.region(Kind::kPtrmapInternal, [](RegionEntry& r) { r.count += uint64_t{1} << 61; });
         }},
        {"RegionCountField_Objects", Defect::kRegionCountField,
         [](Forge& f) { f.region(Kind::kStrDoc, [](RegionEntry& r) { r.count = r.size; }); }},
        {"Padding_AfterTheHeader", Defect::kPadding,
         [](Forge& f) { f.bytes[kPageSize - 1] = std::byte{1}; }},
    };
    return cases;
}

}  // namespace pycds::image
