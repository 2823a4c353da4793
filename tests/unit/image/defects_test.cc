// Each defect is shown by an image that has it; the cases are in *_cases.cc.
#include <gtest/gtest.h>

#include <ostream>
#include <set>
#include <string>

#include "tests/unit/image/defect_cases.h"

namespace pycds::image {

void PrintTo(const DefectCase& c, std::ostream* out) {
    *out << c.name;
}

namespace {

class Forged : public testing::TestWithParam<DefectCase> {};

TEST_P(Forged, IsRejectedForWhatIsWrong) {
    Forge forge;
    ASSERT_TRUE(forge.validate().ok());
    GetParam().edit(forge);
    const Verdict verdict = forge.validate();
    EXPECT_EQ(verdict.defect, GetParam().defect) << defect_text(verdict.defect);
    EXPECT_LE(verdict.offset, forge.bytes.size());
}

std::string case_name(const testing::TestParamInfo<DefectCase>& info) {
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Header, Forged, testing::ValuesIn(header_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Objects, Forged, testing::ValuesIn(object_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Tables, Forged, testing::ValuesIn(table_cases()), case_name);

// What is seen before or by the checksums; their cases need them wrong, or need no bytes.
const std::vector<DefectCase>& unchecked_cases() {
    static const std::vector<DefectCase> cases = {
        {"TooSmall", Defect::kTooSmall, [](Forge& f) { f.bytes.resize(kPageSize - 1); }},
        {"Magic", Defect::kMagic, [](Forge& f) { f.bytes[0] = std::byte{'p'}; }},
        {"FormatVersion", Defect::kFormatVersion,
         [](Forge& f) { f.header([](Header& h) { ++h.prefix.format_version; }); }},
        {"HeaderSize", Defect::kHeaderSize,
         [](Forge& f) { f.header([](Header& h) { h.prefix.header_size -= 8; }); }},
        {"FileSize", Defect::kFileSize,
         [](Forge& f) { f.header([](Header& h) { h.prefix.image_size += kPageSize; }); }},
        {"FileSize_NotWholePages", Defect::kFileSize,
         [](Forge& f) {
             f.bytes.resize(f.bytes.size() + 16);
             f.header([](Header& h) { h.prefix.image_size += 16; });
         }},
        {"HeaderChecksum", Defect::kHeaderChecksum,
         [](Forge& f) { f.header([](Header& h) { ++h.generation; }); }},
        {"Checksum", Defect::kChecksum,
         [](Forge& f) { f.header([](Header& h) { ++h.prefix.checksum; }); }},
        {"Checksum_OfAnObject", Defect::kChecksum,
         [](Forge& f) { f.bytes[f.offset(RegionKind::kNumbers)] ^= std::byte{1}; }},
    };
    return cases;
}

class Damaged : public testing::TestWithParam<DefectCase> {};

TEST_P(Damaged, IsRejectedForWhatIsWrong) {
    Forge forge;
    GetParam().edit(forge);
    EXPECT_EQ(forge.validate_as_is().defect, GetParam().defect);
}

INSTANTIATE_TEST_SUITE_P(Image, Damaged, testing::ValuesIn(unchecked_cases()), case_name);

TEST(Defects, AFileBeyondTheLimitIsNotLookedAt) {
    EXPECT_EQ(validate_header(nullptr, kMaxImageSize + 1).defect, Defect::kTooLarge);
    EXPECT_EQ(validate_image(nullptr, ~uint64_t{0}).defect, Defect::kTooLarge);
    EXPECT_EQ(validate_header(nullptr, 0).defect, Defect::kTooSmall);
}

TEST(Defects, EachHasACase) {
    std::set<Defect> shown = {Defect::kNone, Defect::kTooLarge};
    for (const auto* cases :
         {&unchecked_cases(), &header_cases(), &object_cases(), &table_cases()}) {
        for (const DefectCase& c : *cases) shown.insert(c.defect);
    }
    for (uint32_t i = 0; i <= static_cast<uint32_t>(Defect::kPatternEntry); ++i) {
        EXPECT_TRUE(shown.contains(static_cast<Defect>(i))) << defect_text(static_cast<Defect>(i));
    }
}

}  // namespace
}  // namespace pycds::image
