// client/interp/import_rules.h: importlib's arithmetic.
#include "client/interp/import_rules.h"

#include <gtest/gtest.h>

namespace pycds::interp {
namespace {

TEST(ImportlibMtime, TruncatesLikeInt) {
    EXPECT_EQ(importlib_mtime({1700000000, 0}), 1700000000U);
    EXPECT_EQ(importlib_mtime({1700000000, 500'000'000}), 1700000000U);
}

// int(os.stat(f).st_mtime) of a file with this time is 1700000001: the double next to it.
TEST(ImportlibMtime, RoundsUpWhereADoubleDoes) {
    EXPECT_EQ(importlib_mtime({1700000000, 999'999'999}), 1700000001U);
}

TEST(ImportlibMtime, KeepsTheLow32Bits) {
    EXPECT_EQ(importlib_mtime({(int64_t{1} << 32) + 5, 0}), 5U);
    EXPECT_EQ(importlib_mtime({-1, 0}), 0xffffffffU);
}

}  // namespace
}  // namespace pycds::interp
