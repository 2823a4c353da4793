// The layout of the format, number by number: a change here is a new kFormatVersion.
#include "src/common/image/format.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <type_traits>

#include "src/common/base/text.h"
#include "src/common/image/checksum.h"

namespace pycds::image {
namespace {

template <typename T>
constexpr bool kPlain = std::is_trivially_copyable_v<T>&& std::is_standard_layout_v<T>;

static_assert(kPlain<FrozenPrefix> && kPlain<InterpreterIdentity> && kPlain<RegionEntry>);
static_assert(kPlain<Header> && kPlain<RootRecord> && kPlain<ExternalReference>);
static_assert(kPlain<LeftOutRecord> && kPlain<FrozensetRecord>);
// No padding: every byte is a field, so that checksums and digests are functions of the fields.
static_assert(std::has_unique_object_representations_v<FrozenPrefix>);
static_assert(std::has_unique_object_representations_v<InterpreterIdentity>);
static_assert(std::has_unique_object_representations_v<Header>);
static_assert(std::has_unique_object_representations_v<RootRecord>);
static_assert(std::has_unique_object_representations_v<ExternalReference>);
static_assert(std::has_unique_object_representations_v<LeftOutRecord>);

TEST(Format, TheFrozenPrefixNeverChanges) {
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(kMagic), 8), "PYCDSIMG");
    EXPECT_EQ(sizeof(FrozenPrefix), 64U);
    EXPECT_EQ(offsetof(FrozenPrefix, magic), 0U);
    EXPECT_EQ(offsetof(FrozenPrefix, format_version), 8U);
    EXPECT_EQ(offsetof(FrozenPrefix, header_size), 12U);
    EXPECT_EQ(offsetof(FrozenPrefix, image_size), 16U);
    EXPECT_EQ(offsetof(FrozenPrefix, checksum), 24U);
    EXPECT_EQ(offsetof(FrozenPrefix, header_checksum), 32U);
    EXPECT_EQ(offsetof(FrozenPrefix, identity), 40U);
    EXPECT_EQ(offsetof(FrozenPrefix, reserved), 56U);
}

TEST(Format, Version3) {
    EXPECT_EQ(kFormatVersion, 5U);
    EXPECT_EQ(sizeof(InterpreterIdentity), 128U);
    EXPECT_EQ(offsetof(InterpreterIdentity, build_id_size), 32U);
    EXPECT_EQ(offsetof(InterpreterIdentity, optimize), 44U);
    EXPECT_EQ(offsetof(InterpreterIdentity, layout_digest), 48U);
    EXPECT_EQ(offsetof(InterpreterIdentity, cache_tag), 56U);

    EXPECT_EQ(offsetof(Header, interpreter), 64U);
    EXPECT_EQ(offsetof(Header, requested_base), 192U);
    EXPECT_EQ(offsetof(Header, runtime_base), 200U);
    EXPECT_EQ(offsetof(Header, generation), 208U);
    EXPECT_EQ(offsetof(Header, domain), 216U);
    EXPECT_EQ(offsetof(Header, domain_uid), 220U);
    EXPECT_EQ(offsetof(Header, objects_begin), 224U);
    EXPECT_EQ(offsetof(Header, objects_end), 232U);
    EXPECT_EQ(offsetof(Header, first_co_version), 240U);
    EXPECT_EQ(offsetof(Header, co_version_count), 244U);
    EXPECT_EQ(offsetof(Header, startup_strings_size), 252U);
    EXPECT_EQ(sizeof(PatternRecord), 16U);
    EXPECT_EQ(offsetof(Header, region_count), 248U);
    EXPECT_EQ(offsetof(Header, python), 256U);
    EXPECT_EQ(offsetof(Header, regions), 384U);
    EXPECT_EQ(sizeof(Header), 1344U);

    EXPECT_EQ(sizeof(RegionEntry), 40U);
    EXPECT_EQ(sizeof(RootRecord), 104U);
    EXPECT_EQ(offsetof(RootRecord, code_offset), 24U);
    EXPECT_EQ(offsetof(RootRecord, file_dev), 40U);
    EXPECT_EQ(offsetof(RootRecord, flags), 80U);
    EXPECT_EQ(sizeof(FrozensetRecord), 16U);
    EXPECT_EQ(sizeof(ExternalReference), 24U);
    EXPECT_EQ(sizeof(LeftOutRecord), 16U);
}

TEST(Format, NamesAreDistinct) {
    std::set<std::string> regions;
    for (uint32_t kind = 0; kind < 64; ++kind) {
        const std::string name = region_kind_name(static_cast<RegionKind>(kind));
        if (name == "unknown") continue;
        EXPECT_TRUE(regions.insert(name).second) << name;
    }
    EXPECT_EQ(regions.size(), 12U + kTableKinds);
    EXPECT_LE(regions.size(), kMaxRegions);

    std::set<std::string> reasons;
    for (uint32_t reason = 1; reason <= static_cast<uint32_t>(LeftOutReason::kPath); ++reason) {
        const std::string name = left_out_reason_name(static_cast<LeftOutReason>(reason));
        EXPECT_TRUE(reasons.insert(name).second) << name;
    }
    EXPECT_FALSE(reasons.contains("unknown"));
}

TEST(Format, SlotsDoNotOverlap) {
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
        EXPECT_EQ(requested_base_of_slot(slot) % kPageSize, 0U);
        EXPECT_GE(requested_base_of_slot(slot + 1) - requested_base_of_slot(slot), kMaxImageSize);
        EXPECT_GE(first_co_version_of_slot(slot + 1) - first_co_version_of_slot(slot),
                  kMaxCodeObjects);
    }
    EXPECT_LT(requested_base_of_slot(kSlots), uint64_t{1} << 47);
}

// The constants of the hash are part of the format.
TEST(Format, KnownHashes) {
    EXPECT_EQ(path_hash("", 0), 0x2D06800538D394C2U);
    uint8_t digest[16];
    identity_digest(InterpreterIdentity{}, digest);
    EXPECT_EQ(hex(digest, sizeof digest), "d3c4f706d8fc547f093c29f27ecfcf21");
}

TEST(Format, TheChecksumOfTheRestIsNotPartOfItself) {
    Header header{};
    const uint64_t before = header_checksum(header);
    header.prefix.checksum = 1;
    header.prefix.header_checksum = 2;
    EXPECT_EQ(header_checksum(header), before);
    header.prefix.image_size = 3;
    EXPECT_NE(header_checksum(header), before);
}

}  // namespace
}  // namespace pycds::image
