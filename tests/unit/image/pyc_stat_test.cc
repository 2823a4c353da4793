#include "src/common/image/pyc_stat.h"

#include <gtest/gtest.h>

namespace pycds::image {
namespace {

TEST(Nanoseconds, AreExact) {
    EXPECT_EQ(nanoseconds({1700000000, 999'999'999}), 1700000000999999999);
    EXPECT_EQ(nanoseconds({-1, 1}), -999'999'999);
}

TEST(SamePyc, IsSoInEveryNumber) {
    struct stat st {};
    st.st_dev = 1;
    st.st_ino = 2;
    st.st_size = 3;
    st.st_mtim = {4, 5};
    st.st_ctim = {6, 7};
    RootRecord root{};
    root.file_dev = 1;
    root.file_ino = 2;
    root.file_size = 3;
    root.file_mtime_ns = 4'000'000'005;
    root.file_ctime_ns = 6'000'000'007;
    EXPECT_TRUE(same_pyc(st, root));
    const auto differs = [&](auto field) {
        RootRecord other = root;
        ++(other.*field);
        return !same_pyc(st, other);
    };
    EXPECT_TRUE(differs(&RootRecord::file_dev));
    EXPECT_TRUE(differs(&RootRecord::file_ino));
    EXPECT_TRUE(differs(&RootRecord::file_size));
    EXPECT_TRUE(differs(&RootRecord::file_mtime_ns));
    EXPECT_TRUE(differs(&RootRecord::file_ctime_ns));
}

}  // namespace
}  // namespace pycds::image
