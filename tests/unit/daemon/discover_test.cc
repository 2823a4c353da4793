// Finding interpreters and noticing changes, in real directories.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "daemon/discover/directory_watch.h"
#include "daemon/discover/interpreters.h"
#include "daemon/ipc/asio_loop.h"
#include "tests/unit/daemon/temp_dir.h"

namespace pycds::discover {
namespace {

namespace fs = std::filesystem;
using test::TempDir;
using test::write_file;

TEST(Interpreters, AreThoseWithAVersionInTheirName) {
    for (const char* name : {"python3.9", "python3.11", "python3.14"}) {
        EXPECT_TRUE(is_interpreter_name(name)) << name;
    }
    for (const char* name : {"python3", "python", "python3.", "python3.11-config", "python3.11-dbg",
                             "python3.13t", "python2.7", "python3.1111", "xpython3.11", ""}) {
        EXPECT_FALSE(is_interpreter_name(name)) << name;
    }
}

TEST(Interpreters, EachOnceWhateverLeadsThere) {
    TempDir bin;
    TempDir other;
    write_file(bin / "python3.11", "x", 0755);
    write_file(bin / "python3.12", "x", 0644);  // no program
    fs::create_symlink("python3.11", bin / "python3");
    fs::create_symlink(bin / "python3.11", other / "python3.11");
    write_file(other / "python3.13", "x", 0755);
    fs::create_symlink("/nonexistent", other / "python3.14");
    fs::create_directory(other / "python3.10");
    write_file(other / "mine", "x", 0755);
    const Interpreters interpreters({bin.path(), other.path(), "/nonexistent"});
    EXPECT_EQ(interpreters.find({other / "mine", other / "none", bin / "python3"}),
              (std::vector<std::string>{other / "mine", bin / "python3.11", other / "python3.13"}));
}

TEST(Interpreters, AMissingOneIsSaidOnce) {
    TempDir bin;
    const Interpreters interpreters({bin.path()});
    const auto said = [&] {
        testing::internal::CaptureStderr();
        interpreters.find({bin / "mine"});
        return !testing::internal::GetCapturedStderr().empty();
    };
    EXPECT_TRUE(said());
    EXPECT_FALSE(said()) << "every change of a file is a look";
    write_file(bin / "mine", "x", 0755);
    EXPECT_FALSE(said());
    fs::remove(bin / "mine");
    EXPECT_TRUE(said());
}

class DirectoryWatchTest : public testing::Test {
  protected:
    // Runs the loop until something was reported, or for so long.
    bool changed_within(std::chrono::milliseconds patience) {
        changed_ = false;
        const auto timeout = loop_.call_after(patience, [this] { loop_.stop(); });
        loop_.run();
        loop_.context().restart();
        return changed_;
    }
    bool reported() { return changed_within(std::chrono::seconds(20)); }
    // inotify(7) queues an event before the call that causes it returns: what has been queued is
    // read by the first run of the loop.
    bool reported_already() { return changed_within(std::chrono::milliseconds(50)); }

    TempDir dir_;
    ipc::AsioLoop loop_;
    bool changed_ = false;
    DirectoryWatch watch_{loop_, [this] {
                              changed_ = true;
                              loop_.stop();
                          }};
};

TEST_F(DirectoryWatchTest, ReportsWhatCanChangeAModule) {
    fs::create_directory(dir_ / "__pycache__");
    watch_.watch({dir_.path(), dir_ / "__pycache__", dir_ / "not-there"});
    write_file(dir_ / "m.py", "x = 1");
    EXPECT_TRUE(reported()) << "a new module";
    fs::rename(dir_ / "m.py", dir_ / "n.py");
    EXPECT_TRUE(reported()) << "a renamed one";
    ASSERT_EQ(utimensat(AT_FDCWD, (dir_ / "n.py").c_str(), nullptr, 0), 0);
    EXPECT_TRUE(reported()) << "a touched one";
    write_file(dir_ / "__pycache__/n.cpython-311.pyc", "x");
    EXPECT_TRUE(reported()) << "a compiled one";
    fs::create_directory(dir_ / "package");
    EXPECT_TRUE(reported()) << "a new package";
    fs::remove(dir_ / "n.py");
    EXPECT_TRUE(reported()) << "a removed one";
    write_file(dir_ / "python3.12", "x", 0755);
    EXPECT_TRUE(reported()) << "a new interpreter";
}

TEST_F(DirectoryWatchTest, IsNotWokenByOtherFiles) {
    watch_.watch({dir_.path()});
    write_file(dir_ / "data.txt", "x");
    write_file(dir_ / "m.cpython-311.pyc.140123", "x");  // not yet in its place
    EXPECT_FALSE(reported_already());
}

TEST_F(DirectoryWatchTest, WatchesNothingButWhatItWasToldLast) {
    fs::create_directory(dir_ / "a");
    fs::create_directory(dir_ / "b");
    watch_.watch({dir_ / "a"});
    watch_.watch({dir_ / "b"});
    write_file(dir_ / "a/m.py", "x");
    EXPECT_FALSE(reported_already());
    write_file(dir_ / "b/m.py", "x");
    EXPECT_TRUE(reported());
    // A directory that was swapped for another of its name is watched again.
    fs::rename(dir_ / "b", dir_ / "old");
    EXPECT_TRUE(reported());
    fs::create_directory(dir_ / "b");
    EXPECT_TRUE(watch_.watch({dir_ / "b"}));
    EXPECT_FALSE(watch_.watch({dir_ / "b"}));
    write_file(dir_ / "b/m.py", "x");
    EXPECT_TRUE(reported());
}

}  // namespace
}  // namespace pycds::discover
