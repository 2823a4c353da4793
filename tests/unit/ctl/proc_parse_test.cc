#include "ctl/pages/proc_parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace pycds::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t bit(int number) {
    return uint64_t{1} << number;
}

TEST(PageState, IsThatOfPagemapRst) {
    EXPECT_EQ(page_state(0), PageState::kAbsent);
    EXPECT_EQ(page_state(bit(61)), PageState::kAbsent);
    EXPECT_EQ(page_state(bit(63) | bit(61)), PageState::kShared);
    EXPECT_EQ(page_state(bit(63)), PageState::kDirty);
    // Frame number, soft-dirty, exclusively mapped.
    EXPECT_EQ(page_state(bit(63) | bit(56) | bit(55) | 0x1234), PageState::kDirty);
    EXPECT_EQ(page_state(bit(63) | bit(61) | bit(55) | 0x1234), PageState::kShared);
    // An own copy stays one while it is swapped out.
    EXPECT_EQ(page_state(bit(62) | 0x1234), PageState::kDirty);
    EXPECT_EQ(page_state(bit(62) | bit(61)), PageState::kShared);
}

TEST(Pagemap, KeepsTheCostlierState) {
    const std::array<uint64_t, 4> entries{0, bit(63) | bit(61), bit(63), bit(63) | bit(61)};
    std::array<PageState, 4> states{PageState::kShared, PageState::kAbsent, PageState::kAbsent,
                                    PageState::kDirty};
    merge_pagemap(std::as_bytes(std::span(entries)), states);
    EXPECT_THAT(states, ElementsAre(PageState::kShared, PageState::kShared, PageState::kDirty,
                                    PageState::kDirty));
}

TEST(Pagemap, ReadsNoMoreThanThereIs) {
    const std::array<uint64_t, 2> entries{bit(63), bit(63)};
    std::array<PageState, 3> states{};
    merge_pagemap(std::as_bytes(std::span(entries)).subspan(0, 15), states);
    EXPECT_THAT(states, ElementsAre(PageState::kDirty, PageState::kAbsent, PageState::kAbsent));
}

constexpr const char* kMaps =
    "00400000-00420000 r--p 00000000 fe:00 1234                               /usr/bin/python3.11\n"
    "200000000000-200000001000 r--p 00000000 00:01 77                         "
    "/memfd:pycds-img-1 (deleted)\n"
    "200000001000-200000004000 rw-p 00001000 00:01 77                         "
    "/memfd:pycds-img-1 (deleted)\n"
    "200000004000-200000006000 r--p 00004000 00:01 77                         "
    "/memfd:pycds-img-1 (deleted)\n"
    "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
    "7f0000001000-7f0000002000 r--p 00000000 00:2a 77                         /tmp/a b\\012c\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

TEST(Maps, AreParsed) {
    const Result<std::vector<MapsEntry>> maps = parse_maps(kMaps);
    ASSERT_TRUE(maps) << maps.error().message;
    ASSERT_EQ(maps->size(), 7U);
    const MapsEntry& image = maps.value()[2];
    EXPECT_EQ(image.begin, 0x200000001000U);
    EXPECT_EQ(image.end, 0x200000004000U);
    EXPECT_EQ(image.offset, 0x1000U);
    EXPECT_EQ(image.file, (FileIdentity{0, 1, 77}));
    EXPECT_EQ(image.name, "/memfd:pycds-img-1 (deleted)");
    EXPECT_EQ(maps.value()[4].name, "");
    EXPECT_EQ(maps.value()[5].name, "/tmp/a b\\012c");
    EXPECT_EQ(maps.value()[5].file, (FileIdentity{0, 0x2a, 77}));
}

TEST(Maps, NoTextIsNoEntries) {
    const Result<std::vector<MapsEntry>> maps = parse_maps("");
    ASSERT_TRUE(maps);
    EXPECT_THAT(*maps, IsEmpty());
}

TEST(Maps, WhatIsNoLineIsAnError) {
    const std::string good = "00400000-00420000 r--p 00000000 fe:00 1234 /bin/true\n";
    for (const std::string bad : {
             "\n", "x\n", "00400000\n", "00400000-00420000 r--p 00000000 fe:00",
             "00400000-00420000 r--\n", "00400000-00420000 r--p 00000000 fe-00 1234\n",
             "00420000-00400000 r--p 00000000 fe:00 1234\n",            // the wrong way round
             "00400000-00400000 r--p 00000000 fe:00 1234\n",            // empty
             "00400001-00420000 r--p 00000000 fe:00 1234\n",            // not on a page
             "00400000-00420000 r--p 00000010 fe:00 1234\n",            // nor this
             "10000000000000000-00420000 r--p 00000000 fe:00 1234\n",   // 65 bits
             "00400000-00420000 r--p 00000000 100000000:00 1234\n",     // 33 bits
             "-0400000-00420000 r--p 00000000 fe:00 1234 /bin/true\n",  // no sign is expected
         }) {
        const Result<std::vector<MapsEntry>> maps = parse_maps(good + bad + good);
        ASSERT_FALSE(maps) << bad;
        EXPECT_EQ(maps.error().code, ErrorCode::kSystem);
        EXPECT_THAT(maps.error().message, HasSubstr("line 2 "));
    }
}

TEST(Runs, AreThoseOfTheFile) {
    const Result<std::vector<MapsEntry>> maps = parse_maps(kMaps);
    ASSERT_TRUE(maps);
    const FileIdentity image{0, 1, 77};
    EXPECT_THAT(runs_of(*maps, image, 6),
                ElementsAre(MappedRun{0x200000000000, 0, 1}, MappedRun{0x200000001000, 1, 3},
                            MappedRun{0x200000004000, 4, 2}));
    // Not beyond the end of the image, whatever is mapped there.
    EXPECT_THAT(runs_of(*maps, image, 2),
                ElementsAre(MappedRun{0x200000000000, 0, 1}, MappedRun{0x200000001000, 1, 1}));
    EXPECT_THAT(runs_of(*maps, {0, 2, 77}, 6), IsEmpty());
    EXPECT_THAT(runs_of(*maps, {0, 1, 78}, 6), IsEmpty());
    // Memory of no file is not a file.
    EXPECT_THAT(runs_of(*maps, {}, 6), IsEmpty());
}

}  // namespace
}  // namespace pycds::ctl
