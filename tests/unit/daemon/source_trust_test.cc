// On real files with real owners and modes: needs root, and a place that only root can write.
#include "daemon/policy/source_trust.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/daemon/temp_dir.h"

namespace pycds::policy {
namespace {

constexpr uid_t kSomebody = 12345;

class SourceTrustTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "needs root to own files";
        dir_ = std::make_unique<test::TempDir>("/opt");
        ASSERT_EQ(chmod(dir_->path().c_str(), 0755), 0);
        make_directory("lib");
        test::write_file(path("lib/a.py"), "a = 1\n");
        ASSERT_TRUE(trusted("lib/a.py")) << "/opt is not root's alone here";
    }

    std::string path(const std::string& name) const { return *dir_ / name; }
    // A new one each time: it remembers.
    bool trusted(const std::string& name) const { return SourceTrust().is_trusted(path(name)); }

    void make_directory(const std::string& name, mode_t mode = 0755) const {
        ASSERT_EQ(mkdir(path(name).c_str(), 0755), 0);
        set_mode(name, mode);
    }
    void set_mode(const std::string& name, mode_t mode) const {
        ASSERT_EQ(chmod(path(name).c_str(), mode), 0);
    }
    void set_owner(const std::string& name, uid_t uid) const {
        ASSERT_EQ(lchown(path(name).c_str(), uid, 0), 0);
    }
    void link(const std::string& target, const std::string& name) const {
        ASSERT_EQ(symlink(target.c_str(), path(name).c_str()), 0);
    }

    std::unique_ptr<test::TempDir> dir_;
};

TEST_F(SourceTrustTest, AFileMustBeRootsAndReadableByAll) {
    set_mode("lib/a.py", 0664);
    EXPECT_FALSE(trusted("lib/a.py")) << "writable by the group";
    set_mode("lib/a.py", 0646);
    EXPECT_FALSE(trusted("lib/a.py")) << "writable by all";
    set_mode("lib/a.py", 0640);
    EXPECT_FALSE(trusted("lib/a.py")) << "not readable by all";
    set_mode("lib/a.py", 0444);
    EXPECT_TRUE(trusted("lib/a.py"));
    set_owner("lib/a.py", kSomebody);
    EXPECT_FALSE(trusted("lib/a.py")) << "somebody's";
}

TEST_F(SourceTrustTest, AProgramMustBeRootsAndExecutableByAll) {
    const auto program = [&](const std::string& name) {
        return SourceTrust().is_trusted_program(path(name));
    };
    EXPECT_FALSE(program("lib/a.py")) << "not executable";
    set_mode("lib/a.py", 0755);
    EXPECT_TRUE(program("lib/a.py"));
    make_directory("lib/__pycache__", 0777);
    EXPECT_TRUE(program("lib/a.py")) << "nothing of a program is looked for there";
    set_mode("lib/a.py", 0775);
    EXPECT_FALSE(program("lib/a.py")) << "writable by the group";
    set_mode("lib/a.py", 0755);
    make_directory("open", 0777);
    link("../lib/a.py", "open/python");
    EXPECT_FALSE(program("open/python")) << "the link lies where all can write";
    link("a.py", "lib/python");
    EXPECT_TRUE(program("lib/python"));
    set_owner("lib/a.py", kSomebody);
    EXPECT_FALSE(program("lib/python")) << "somebody's";
}

TEST_F(SourceTrustTest, EveryDirectoryAboveMustBeSafe) {
    make_directory("lib/deep");
    test::write_file(path("lib/deep/b.py"), "");
    EXPECT_TRUE(trusted("lib/deep/b.py"));
    for (const mode_t mode : {0775, 0757, 01777, 0750}) {
        set_mode("lib", mode);
        EXPECT_FALSE(trusted("lib/deep/b.py")) << std::oct << mode;
        EXPECT_FALSE(trusted("lib/a.py")) << std::oct << mode;
    }
    set_mode("lib", 0711);
    EXPECT_TRUE(trusted("lib/deep/b.py")) << "searching is enough";
    set_owner("lib", kSomebody);
    EXPECT_FALSE(trusted("lib/deep/b.py"));
}

TEST_F(SourceTrustTest, TheCacheDirectoryMustBeSafeIfThereIsOne) {
    make_directory("lib/__pycache__");
    EXPECT_TRUE(trusted("lib/a.py"));
    set_mode("lib/__pycache__", 0777);
    EXPECT_FALSE(trusted("lib/a.py"));
    set_mode("lib/__pycache__", 0755);
    set_owner("lib/__pycache__", kSomebody);
    EXPECT_FALSE(trusted("lib/a.py"));
    ASSERT_EQ(rmdir(path("lib/__pycache__").c_str()), 0);
    make_directory("open", 0777);
    link("../open", "lib/__pycache__");
    EXPECT_FALSE(trusted("lib/a.py")) << "a link to a directory that all can write";
    set_mode("open", 0755);
    EXPECT_TRUE(trusted("lib/a.py"));
}

TEST_F(SourceTrustTest, OnlyPlainAbsolutePathsCount) {
    EXPECT_FALSE(SourceTrust().is_trusted(""));
    EXPECT_FALSE(SourceTrust().is_trusted("lib/a.py"));
    EXPECT_FALSE(trusted("lib/../lib/a.py"));
    EXPECT_FALSE(trusted("lib/.."));
    EXPECT_FALSE(trusted("lib"));
    EXPECT_FALSE(trusted("lib/"));
    EXPECT_FALSE(trusted("lib/a.py/"));
    EXPECT_FALSE(trusted("lib/missing.py"));
    EXPECT_FALSE(trusted("missing/a.py"));
    EXPECT_FALSE(SourceTrust().is_trusted(path("lib/a.py") + std::string("\0x", 2)));
    EXPECT_FALSE(SourceTrust().is_trusted("/" + std::string(5000, 'x')));
    EXPECT_FALSE(SourceTrust().is_trusted("/dev/null")) << "not a regular file";
    EXPECT_TRUE(trusted("lib//a.py"));
    EXPECT_TRUE(trusted("./lib/./a.py"));
}

TEST_F(SourceTrustTest, LinksAreFollowedThroughSafePlacesOnly) {
    link("lib", "relative");
    link(path("lib"), "absolute");
    link("a.py", "lib/b.py");
    EXPECT_TRUE(trusted("relative/a.py"));
    EXPECT_TRUE(trusted("absolute/a.py"));
    EXPECT_TRUE(trusted("absolute/b.py"));

    make_directory("open", 0777);
    test::write_file(path("open/evil.py"), "");
    link("../open/evil.py", "lib/evil.py");
    EXPECT_FALSE(trusted("lib/evil.py")) << "the target lies where all can write";
    // Through the open directory and back: what it leads to is safe, the way is not.
    link("../lib/a.py", "open/back.py");
    link("../open/back.py", "lib/back.py");
    EXPECT_FALSE(trusted("lib/back.py"));
    link("../open/../lib/a.py", "lib/through.py");
    EXPECT_FALSE(trusted("lib/through.py"));
}

TEST_F(SourceTrustTest, ALinkOfSomebodyElsesIsNotFollowed) {
    link("a.py", "lib/b.py");
    set_owner("lib/b.py", kSomebody);
    EXPECT_FALSE(trusted("lib/b.py"));
}

TEST_F(SourceTrustTest, LoopsAndLongChainsEnd) {
    link("loop.py", "lib/loop.py");
    EXPECT_FALSE(trusted("lib/loop.py"));
    link("two/x", "lib/one");
    link("one/x", "lib/two");
    EXPECT_FALSE(trusted("lib/one/a.py"));
    link("a.py", "lib/l0.py");
    for (int i = 1; i <= 50; ++i) {
        link("l" + std::to_string(i - 1) + ".py", "lib/l" + std::to_string(i) + ".py");
    }
    EXPECT_TRUE(trusted("lib/l30.py"));
    EXPECT_FALSE(trusted("lib/l50.py"));
}

TEST_F(SourceTrustTest, WhatItRemembersIsWhatItSaw) {
    SourceTrust trust;
    make_directory("open", 0777);
    test::write_file(path("open/x.py"), "");
    test::write_file(path("lib/b.py"), "");
    for (int i = 0; i < 2; ++i) {
        EXPECT_TRUE(trust.is_trusted(path("lib/a.py")));
        EXPECT_TRUE(trust.is_trusted(path("lib/b.py")));
        EXPECT_FALSE(trust.is_trusted(path("open/x.py")));
    }
}

}  // namespace
}  // namespace pycds::policy
