// L0 values: bitmaps, checked arithmetic, results.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "src/common/base/bitmap.h"
#include "src/common/base/checked.h"
#include "src/common/base/result.h"

namespace pycds {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(Bitmap, WordsNeeded) {
    EXPECT_EQ(bitmap_words(0), 0U);
    EXPECT_EQ(bitmap_words(1), 1U);
    EXPECT_EQ(bitmap_words(64), 1U);
    EXPECT_EQ(bitmap_words(65), 2U);
}

TEST(Bitmap, EmptyHasNothing) {
    const BitmapView empty;
    EXPECT_EQ(empty.size(), 0U);
    EXPECT_EQ(empty.find_next(0), 0U);
    EXPECT_EQ(empty.find_next(100), 0U);
}

TEST(Bitmap, FindNextAgreesWithTestForEveryPosition) {
    std::vector<uint64_t> words(4);
    for (const size_t bit : {0U, 1U, 63U, 64U, 130U, 200U}) {
        words[bit / 64] |= uint64_t{1} << (bit % 64);
    }
    // 201 bits: the last one set is the last one there is.
    for (const size_t bits : {201U, 200U, 65U, 64U}) {
        const BitmapView map(words.data(), bits);
        for (size_t from = 0; from <= bits + 1; ++from) {
            size_t expected = from;
            while (expected < bits && !map.test(expected)) ++expected;
            EXPECT_EQ(map.find_next(from), std::min(expected, bits)) << bits << " from " << from;
        }
    }
}

TEST(Bitmap, ASearchMayEndBeforeTheLastBit) {
    std::vector<uint64_t> words(4);
    for (const size_t bit : {5U, 64U, 130U}) words[bit / 64] |= uint64_t{1} << (bit % 64);
    const BitmapView map(words.data(), 256);
    EXPECT_EQ(map.find_next(0, 6), 5U);
    EXPECT_EQ(map.find_next(0, 5), 5U);  // none
    EXPECT_EQ(map.find_next(6, 64), 64U);
    EXPECT_EQ(map.find_next(6, 256), 64U);
    EXPECT_EQ(map.find_next(131, 256), 256U);
    EXPECT_EQ(map.find_next(9, 7), 7U);
}

TEST(Bitmap, BitsBeyondTheSizeAreNotThere) {
    const uint64_t word = uint64_t{1} << 40;
    EXPECT_EQ(BitmapView(&word, 40).find_next(0), 40U);
    EXPECT_EQ(BitmapView(&word, 41).find_next(0), 40U);
    EXPECT_EQ(BitmapView(&word, 41).find_next(41), 41U);
}

TEST(Checked, AddAndMul) {
    uint64_t out = 0;
    EXPECT_TRUE(checked_add(kMax - 1, 1, &out));
    EXPECT_EQ(out, kMax);
    EXPECT_FALSE(checked_add(kMax, 1, &out));
    EXPECT_TRUE(checked_mul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1, &out));
    EXPECT_FALSE(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32, &out));
}

TEST(Checked, RangeInside) {
    EXPECT_TRUE(range_inside(0, 0, 0));
    EXPECT_TRUE(range_inside(10, 0, 10));
    EXPECT_TRUE(range_inside(0, 10, 10));
    EXPECT_FALSE(range_inside(1, 10, 10));
    EXPECT_FALSE(range_inside(11, 0, 10));
    EXPECT_FALSE(range_inside(kMax, 2, 10));
    EXPECT_FALSE(range_inside(2, kMax, 10));
    EXPECT_TRUE(range_inside(kMax, 0, kMax));
}

TEST(Checked, AlignUp) {
    EXPECT_EQ(align_up(0, 16), 0U);
    EXPECT_EQ(align_up(1, 16), 16U);
    EXPECT_EQ(align_up(16, 16), 16U);
    EXPECT_EQ(align_up(4097, 4096), 8192U);
}

TEST(Result, HoldsAValueOrAnError) {
    Result<std::string> good(std::string("value"));
    ASSERT_TRUE(good.ok());
    EXPECT_EQ(*good, "value");
    EXPECT_EQ(good->size(), 5U);

    const Result<std::string> bad(Error{ErrorCode::kNotFound, "no such image"});
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(bad.error().message, "no such image");
}

TEST(Result, OfAnErrorIsUnambiguous) {
    // The index tells which one it is, not the type.
    const Status status(Error{ErrorCode::kCorrupt, ""});
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(Status(Ok{}).ok());
}

TEST(Result, MovesOut) {
    Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
    const std::unique_ptr<int> value = std::move(result).value();
    EXPECT_EQ(*value, 7);
}

TEST(Result, ErrnoErrorSaysWhatAndWhy) {
    const Error error = errno_error("cannot open x", ENOENT);
    EXPECT_EQ(error.code, ErrorCode::kSystem);
    EXPECT_EQ(error.message, "cannot open x: No such file or directory");
}

}  // namespace
}  // namespace pycds
