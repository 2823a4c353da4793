// pycdsctl explain as far as no daemon is needed, and the parts that it is made of. The rest is in
// tests/integration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/distrust.h"
#include "ctl/image_tables.h"
#include "daemon/policy/source_trust.h"
#include "src/common/image/format.h"
#include "src/common/image/pyc_path.h"
#include "support.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::ctl {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

ChildEnd explained(std::vector<std::string> names, std::vector<std::string> variables = {}) {
    names.insert(names.begin(), {"explain", "--python", TEST_PYTHON});
    variables.insert(variables.end(), {"PYCDS_SOCKET=/nonexistent", "PYTHONPYCACHEPREFIX="});
    return pycdsctl(std::move(names), std::move(variables));
}

TEST(Explain, WithoutADaemonNothingIsServed) {
    const ChildEnd end = explained({"json", "sys"});
    EXPECT_EQ(end.status, 1) << end.errors;
    EXPECT_THAT(end.output, HasSubstr("json: not served ("));
    EXPECT_THAT(end.output, HasSubstr("sys: no code that could be shared: built into"));
    EXPECT_THAT(end.errors, HasSubstr("not served: json ("));
}

TEST(Explain, WhatHasNoCodeIsNoFailure) {
    const ChildEnd end = explained({"sys", "--json"});
    EXPECT_EQ(end.status, 0) << end.errors;
    EXPECT_TRUE(is_json(end.output));
    EXPECT_THAT(end.output, HasSubstr("\"verdict\": \"no-code\""));
}

TEST(Explain, WhatIsNotThereIsNotFound) {
    for (const char* name : {"no_such_module", "no_such.module", "json.no_such", "sys.no_such",
                             "/no/such/file.py", "file.py"}) {
        const ChildEnd end = explained({"sys", name, "--json"});
        EXPECT_EQ(end.status, 3) << name << end.output;
        EXPECT_TRUE(is_json(end.output));
        EXPECT_THAT(end.output, HasSubstr("\"reason\": \"not-found\"")) << name;
        EXPECT_THAT(end.errors, HasSubstr(name));
    }
}

TEST(Explain, NamesOfModulesCannotControlTheTerminal) {
    const ChildEnd end = explained({"\x1b]0;evil\x07\xff"});
    EXPECT_EQ(end.status, 3) << end.errors;
    EXPECT_THAT(end.output, HasSubstr("\\x1b]0;evil\\x07\\xff"));
    EXPECT_EQ((end.output + end.errors).find('\x1b'), std::string::npos);
}

TEST(Explain, AProgramThatDoesNotBeginIsAFailure) {
    const TempDir directory;
    directory.file("usercustomize.py", "import os; os.write(2, b'enough'); os._exit(3)");
    directory.file("sitecustomize.py", "import usercustomize");
    const ChildEnd end = explained({"json"}, {"PYTHONPATH=" + directory.path()});
    EXPECT_EQ(end.status, 1);
    EXPECT_EQ(end.output, "");
    EXPECT_THAT(end.errors, HasSubstr("the process ended with status 3: enough"));
}

TEST(ImageTables, SayWhatAnImageHasAndWhatItHasNot) {
    const TempDir directory;
    const std::vector<std::byte> bytes =
        fakes::make_tiny_image({.paths = {{"/lib/a.py", "/lib/b.py"}},
                                .left_out = {{"/lib/c.py", image::LeftOutReason::kNoPyc},
                                             {"/lib/d.py", image::LeftOutReason::kPycStale}}});
    const std::string path = directory.file(
        "image", std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    Result<LoadedImage> loaded = load_file(path);
    ASSERT_TRUE(loaded);
    Result<ImageTables> tables = ImageTables::open(std::move(*loaded), path);
    ASSERT_TRUE(tables) << tables.error().message;
    EXPECT_TRUE(tables->has_root("/lib/a.py"));
    EXPECT_TRUE(tables->has_root("/lib/b.py"));
    for (const char* other : {"/lib/c.py", "/lib/a.p", "/lib/a.pyx", "a.py", ""}) {
        EXPECT_FALSE(tables->has_root(other)) << other;
    }
    EXPECT_EQ(tables->why_left_out("/lib/c.py"), image::LeftOutReason::kNoPyc);
    EXPECT_EQ(tables->why_left_out("/lib/d.py"), image::LeftOutReason::kPycStale);
    EXPECT_EQ(tables->why_left_out("/lib/a.py"), std::nullopt);
    const fakes::TinyRootStat second = fakes::tiny_root_stat("/lib/b.py", 1);
    struct stat pyc {};
    pyc.st_dev = second.dev;
    pyc.st_ino = second.ino;
    pyc.st_size = static_cast<off_t>(second.size);
    pyc.st_mtim = {second.mtime_ns / 1'000'000'000, second.mtime_ns % 1'000'000'000};
    pyc.st_ctim = {second.ctime_ns / 1'000'000'000, second.ctime_ns % 1'000'000'000};
    EXPECT_EQ(tables->source_of_pyc(pyc), "/lib/b.py");
    ++pyc.st_ctim.tv_nsec;
    EXPECT_EQ(tables->source_of_pyc(pyc), std::nullopt) << "the number, given to another file";
}

TEST(ImageTables, AreNotFollowedInWhatIsNoImage) {
    const TempDir directory;
    const std::string path = directory.file("garbage", std::string(8192, 'x'));
    Result<LoadedImage> loaded = load_file(path);
    ASSERT_TRUE(loaded);
    EXPECT_EQ(ImageTables::open(std::move(*loaded), path).error().code, ErrorCode::kCorrupt);
}

class DistrustTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "needs root to own files";
        std::string pattern = "/opt/pycds-test-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
        set_mode("", 0755);
        fs::create_directories(path("lib/__pycache__"));
        std::ofstream(path("lib/a.py")) << "a = 1\n";
        pyc_ = image::pyc_path(path("lib/a.py"), "cpython-311", 0);
        std::ofstream(pyc_) << "code";
        ASSERT_EQ(look("lib/a.py"), "") << "/opt is not root's alone here";
    }
    void TearDown() override {
        std::error_code ignored;
        if (!directory_.empty()) fs::remove_all(directory_, ignored);
    }

    std::string path(const std::string& name) const { return directory_ + "/" + name; }
    void set_mode(const std::string& name, mode_t mode) const {
        ASSERT_EQ(chmod(path(name).c_str(), mode), 0) << name;
    }

    // What is found, without this directory; and the daemon must be of one mind.
    std::string look(const std::string& name) const {
        const std::string source = path(name);
        const std::optional<Distrust> found =
            find_distrust(source, image::pyc_path(source, "cpython-311", 0));
        // What is wrong with the .pyc itself is for the builder to see.
        const bool of_pyc = found && found->path.ends_with(".pyc");
        EXPECT_EQ(policy::SourceTrust().is_trusted(source), !found || of_pyc) << name;
        if (!found) return {};
        EXPECT_EQ(found->path.rfind(directory_, 0), 0U) << found->path;
        return found->path.substr(directory_.size()) + " " + found->what;
    }

    std::string directory_;
    std::string pyc_;
};

TEST_F(DistrustTest, NamesTheFileOrTheDirectory) {
    set_mode("lib/a.py", 0664);
    EXPECT_EQ(look("lib/a.py"), "/lib/a.py can be written by its group (mode 0664)");
    set_mode("lib/a.py", 0646);
    EXPECT_EQ(look("lib/a.py"), "/lib/a.py can be written by everybody (mode 0646)");
    set_mode("lib/a.py", 0640);
    EXPECT_EQ(look("lib/a.py"), "/lib/a.py cannot be read by everybody (mode 0640)");
    set_mode("lib/a.py", 0444);
    EXPECT_EQ(look("lib/a.py"), "");
    set_mode("lib", 01777);
    EXPECT_EQ(look("lib/a.py"), "/lib can be written by everybody (mode 1777)");
    set_mode("lib", 0750);
    EXPECT_EQ(look("lib/a.py"), "/lib cannot be entered by everybody (mode 0750)");
    set_mode("lib", 0755);
    ASSERT_EQ(chown(path("lib").c_str(), 12345, 0), 0);
    EXPECT_EQ(look("lib/a.py"), "/lib belongs to uid 12345");
    ASSERT_EQ(chown(path("lib").c_str(), 0, 0), 0);
    set_mode("lib/__pycache__", 0775);
    EXPECT_EQ(look("lib/a.py"), "/lib/__pycache__ can be written by its group (mode 0775)");
    set_mode("lib/__pycache__", 0755);
    EXPECT_THAT(look("lib/missing.py"), HasSubstr("/lib/missing.py cannot be looked at: No such"));
    EXPECT_EQ(look("lib"), "/lib is no regular file");
}

TEST_F(DistrustTest, LooksAtTheCompiledFileToo) {
    ASSERT_EQ(chmod(pyc_.c_str(), 0600), 0);
    EXPECT_THAT(look("lib/a.py"), EndsWith(".pyc cannot be read by everybody (mode 0600)"));
    fs::remove(pyc_);
    EXPECT_EQ(look("lib/a.py"), "");
    fs::create_symlink(path("lib/a.py"), pyc_);
    EXPECT_THAT(look("lib/a.py"), EndsWith(".pyc is a symbolic link"));
    fs::remove_all(path("lib/__pycache__"));
    EXPECT_EQ(look("lib/a.py"), "");
}

TEST_F(DistrustTest, FollowsLinks) {
    fs::create_symlink("lib", path("relative"));
    fs::create_symlink(path("relative"), path("absolute"));
    fs::create_symlink("../absolute/a.py", path("lib/b.py"));
    fs::create_symlink("round", path("round"));
    for (const char* name : {"relative/a.py", "absolute/a.py", "lib/b.py", "absolute/b.py"}) {
        EXPECT_EQ(look(name), "") << name;
    }
    EXPECT_EQ(look("round/a.py"), "/round is a link of too many in a row");
    set_mode("lib", 0777);
    for (const char* name : {"relative/a.py", "absolute/a.py", "absolute/b.py"}) {
        EXPECT_EQ(look(name), "/lib can be written by everybody (mode 0777)") << name;
    }
    ASSERT_EQ(lchown(path("relative").c_str(), 12345, 0), 0);
    EXPECT_EQ(look("absolute/a.py"), "/relative belongs to uid 12345");
}

}  // namespace
}  // namespace pycds::ctl
