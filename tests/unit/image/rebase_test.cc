#include "src/common/image/rebase.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "src/common/image/format.h"
#include "src/common/image/validator.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::image {
namespace {

using Bytes = std::vector<std::byte>;

const Header& header_of(const Bytes& image) {
    return *reinterpret_cast<const Header*>(image.data());
}

std::vector<uint64_t> external_words(const Bytes& image) {
    const RegionEntry& map = *find_region(header_of(image), RegionKind::kPtrmapExternal);
    std::vector<uint64_t> out;
    for (uint64_t word = 0; word < map.count * 64; ++word) {
        uint64_t marks = 0;
        std::memcpy(&marks, image.data() + map.offset + word / 64 * 8, sizeof marks);
        if ((marks >> (word % 64) & 1) == 0) continue;
        uint64_t value = 0;
        std::memcpy(&value, image.data() + header_of(image).objects_begin + word * 8, sizeof value);
        out.push_back(value);
    }
    return out;
}

TEST(Rebase, MovesEveryExternalReferenceAndStaysValid) {
    for (const uint64_t target :
         {kCommonBaseBegin, kCommonBaseEnd - kCommonBaseStep, uint64_t{0x1000}}) {
        const Bytes before = fakes::make_tiny_image();
        Bytes after = before;
        ASSERT_TRUE(rebase(after.data(), target));
        EXPECT_TRUE(validate_image(after.data(), after.size()).ok());
        EXPECT_EQ(header_of(after).runtime_base, target);
        const std::vector<uint64_t> old_words = external_words(before);
        const std::vector<uint64_t> new_words = external_words(after);
        ASSERT_EQ(old_words.size(), new_words.size());
        ASSERT_FALSE(old_words.empty());
        for (size_t i = 0; i < old_words.size(); ++i) {
            EXPECT_EQ(new_words[i] - target, old_words[i] - header_of(before).runtime_base);
        }
    }
}

TEST(Rebase, ThereAndBackIsTheSameImage) {
    const Bytes before = fakes::make_tiny_image();
    Bytes image = before;
    ASSERT_TRUE(rebase(image.data(), kCommonBaseBegin));
    EXPECT_NE(image, before);
    ASSERT_TRUE(rebase(image.data(), header_of(before).runtime_base));
    EXPECT_EQ(image, before);
}

TEST(Rebase, AnInterpreterThatLiesWhereItWasLinkedForStaysThere) {
    Bytes image = fakes::make_tiny_image();
    reinterpret_cast<Header*>(image.data())->runtime_base = 0;
    const Bytes before = image;
    EXPECT_FALSE(rebase(image.data(), kCommonBaseBegin));
    EXPECT_EQ(image, before);
}

}  // namespace
}  // namespace pycds::image
