// client/builder/pyc_file.h on real files.
#include "client/builder/pyc_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace pycds::builder {
namespace {

using image::LeftOutReason;

TEST(PycPath, IsCacheFromSource) {
    EXPECT_EQ(image::pyc_path("/a/b.py", "cpython-311", 0), "/a/__pycache__/b.cpython-311.pyc");
    EXPECT_EQ(image::pyc_path("/a/b.c.py", "cpython-311", 2), "/a/__pycache__/b.c.cpython-311.opt-2.pyc");
    EXPECT_EQ(image::pyc_path("/a/.py", "t", 0), "/a/__pycache__/py.t.pyc");
    EXPECT_EQ(image::pyc_path("/a/b", "t", 1), "/a/__pycache__/bt.opt-1.pyc");
}

class PycFileTest : public testing::Test {
  protected:
    void SetUp() override {
        char pattern[] = "/tmp/pycds-pyc-XXXXXX";
        directory_ = mkdtemp(pattern);
        std::filesystem::create_directory(directory_ / "__pycache__");
        request_.source = directory_ / "m.py";
        request_.cache_tag = "t";
        request_.magic_number = 0x0a0d0da7;
        write(request_.source, "x = 1\n");
        pyc_ = directory_ / "__pycache__" / "m.t.pyc";
        write(pyc_, header(0) + "body");
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    static void write(const std::filesystem::path& path, const std::string& text) {
        std::ofstream(path, std::ios::binary) << text;
    }

    std::string header(uint32_t flags, int mtime_shift = 0) const {
        struct stat st {};
        stat(request_.source.c_str(), &st);
        std::string out;
        const uint32_t fields[] = {request_.magic_number, flags,
                                   static_cast<uint32_t>(st.st_mtim.tv_sec + mtime_shift),
                                   static_cast<uint32_t>(st.st_size)};
        for (const uint32_t field : fields) {
            for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(field >> (8 * i)));
        }
        return out;
    }

    std::filesystem::path directory_;
    std::filesystem::path pyc_;
    PycRequest request_;
    PycFile file_;
};

TEST_F(PycFileTest, ReadsAGoodOne) {
    ASSERT_EQ(read_pyc(request_, &file_), std::nullopt);
    struct stat st {};
    stat(pyc_.c_str(), &st);
    EXPECT_EQ(file_.path, pyc_);
    EXPECT_EQ(file_.size, 20U);
    EXPECT_EQ(file_.ino, st.st_ino);
    EXPECT_EQ(file_.source_size, 6U);
    EXPECT_FALSE(file_.unchecked_hash);
    EXPECT_EQ(std::string(file_.data.begin() + 16, file_.data.end()), "body");
}

TEST_F(PycFileTest, SaysWhyNot) {
    const auto reason = [&] { return read_pyc(request_, &file_).value_or(LeftOutReason{}); };
    write(pyc_, header(0, 1) + "body");
    EXPECT_EQ(reason(), LeftOutReason::kPycStale);
    write(pyc_, header(3) + "body");
    EXPECT_EQ(reason(), LeftOutReason::kPycCheckedHash);
    write(pyc_, header(4) + "body");
    EXPECT_EQ(reason(), LeftOutReason::kPycCorrupt);
    write(pyc_, "short");
    EXPECT_EQ(reason(), LeftOutReason::kPycCorrupt);
    write(pyc_, "1234" + header(0).substr(4));
    EXPECT_EQ(reason(), LeftOutReason::kPycMagic);
    std::filesystem::remove(pyc_);
    EXPECT_EQ(reason(), LeftOutReason::kNoPyc);
    std::filesystem::create_directory(pyc_);
    EXPECT_EQ(reason(), LeftOutReason::kPycUnreadable);
    std::filesystem::remove(pyc_);
    ASSERT_EQ(mkfifo(pyc_.c_str(), 0644), 0);  // must not block
    EXPECT_EQ(reason(), LeftOutReason::kPycUnreadable);
    std::filesystem::remove(request_.source);
    EXPECT_EQ(reason(), LeftOutReason::kNoSource);
    request_.source = "relative.py";
    EXPECT_EQ(reason(), LeftOutReason::kPath);
}

TEST_F(PycFileTest, UncheckedHashNeedsNoSourceTime) {
    write(pyc_, header(1, 100) + "body");
    ASSERT_EQ(read_pyc(request_, &file_), std::nullopt);
    EXPECT_TRUE(file_.unchecked_hash);
    EXPECT_EQ(file_.source_mtime, 0U);
}

TEST_F(PycFileTest, ForEverybodyMeansReadableByAllWrittenByRoot) {
    request_.for_everybody = true;
    const mode_t bad_modes[] = {0600, 0666, 0664, 0640};
    for (const mode_t mode : bad_modes) {
        ASSERT_EQ(chmod(pyc_.c_str(), mode), 0);
        EXPECT_EQ(read_pyc(request_, &file_), LeftOutReason::kNotTrusted) << mode;
    }
    ASSERT_EQ(chmod(pyc_.c_str(), 0644), 0);
    if (geteuid() != 0) {
        EXPECT_EQ(read_pyc(request_, &file_), LeftOutReason::kNotTrusted);
        GTEST_SKIP() << "needs root to own a file";
    }
    EXPECT_EQ(read_pyc(request_, &file_), std::nullopt);
    // A link from a directory that everybody may see to a file behind one that not everybody may.
    const std::filesystem::path elsewhere = directory_ / "elsewhere.pyc";
    std::filesystem::rename(pyc_, elsewhere);
    std::filesystem::create_symlink(elsewhere, pyc_);
    EXPECT_EQ(read_pyc(request_, &file_), LeftOutReason::kNotTrusted);
    request_.for_everybody = false;
    EXPECT_EQ(read_pyc(request_, &file_), std::nullopt);
    request_.for_everybody = true;
    std::filesystem::remove(pyc_);
    std::filesystem::rename(elsewhere, pyc_);
    ASSERT_EQ(chown(pyc_.c_str(), 65534, 65534), 0);
    EXPECT_EQ(read_pyc(request_, &file_), LeftOutReason::kNotTrusted);
}

}  // namespace
}  // namespace pycds::builder
