#include "ctl/hook.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/unit/ctl/support.h"

namespace pycds::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kSuffix = ".cpython-311-x86_64-linux-gnu.so";

// Directories as an interpreter and an environment have them; nothing runs.
class Hooks : public testing::Test {
  protected:
    Hooks() {
        library_ = directory_.file("pycds/cpython-3.11.2/_pycds" + std::string(kSuffix), "new");
        old_ = directory_.file("old/cpython-3.11.1/_pycds" + std::string(kSuffix), "old");
        target_.python = {"python", "/bin/python", "/bin/python", "3.11.2"};
        target_.suffix = kSuffix;
        target_.stdlib = directory_ / "lib/python3.11";
        target_.venv = directory_ / "venv";
        target_.site_packages = directory_ / "venv/lib/python3.11/site-packages";
        fs::create_directories(target_.stdlib);
        fs::create_directories(target_.site_packages);
    }

    std::vector<std::string> everything() const {
        std::vector<std::string> all;
        for (const auto& entry : fs::recursive_directory_iterator(directory_.path())) {
            std::string text = entry.path().native();
            if (entry.is_symlink()) text += " -> " + fs::read_symlink(entry.path()).native();
            all.push_back(text);
        }
        std::sort(all.begin(), all.end());
        return all;
    }

    TempDir directory_;
    std::string library_;
    std::string old_;
    Target target_;
};

TEST_F(Hooks, OfAStandardLibraryComesAndGoes) {
    const std::vector<std::string> before = everything();
    EXPECT_EQ(stdlib_hook(target_, library_).state, HookState::kOff);
    ASSERT_TRUE(make_stdlib_hook(target_, library_).ok());
    EXPECT_EQ(stdlib_hook(target_, library_).state, HookState::kOn);
    EXPECT_EQ(fs::read_symlink(target_.stdlib_hook()), library_);
    EXPECT_TRUE(leads_to_client(stdlib_hook(target_, library_), target_));
    ASSERT_TRUE(make_stdlib_hook(target_, library_).ok());
    EXPECT_EQ(everything().size(), before.size() + 1);
    ASSERT_TRUE(remove_stdlib_hook(target_).ok());
    ASSERT_TRUE(remove_stdlib_hook(target_).ok());
    EXPECT_EQ(everything(), before);
}

TEST_F(Hooks, OfAnEnvironmentComesAndGoes) {
    const std::vector<std::string> before = everything();
    ASSERT_TRUE(make_venv_hook(target_, library_).ok());
    EXPECT_EQ(venv_hook(target_, library_).state, HookState::kOn);
    EXPECT_EQ(fs::status(target_.venv_pth()).permissions(), fs::perms{0644});
    ASSERT_TRUE(make_venv_hook(target_, library_).ok());
    EXPECT_EQ(everything().size(), before.size() + 2);
    // One of both is not on, and not off.
    fs::remove(target_.venv_link());
    EXPECT_EQ(venv_hook(target_, library_).state, HookState::kStale);
    ASSERT_TRUE(make_venv_hook(target_, library_).ok());
    EXPECT_EQ(venv_hook(target_, library_).state, HookState::kOn);
    fs::remove(target_.venv_pth());
    EXPECT_EQ(venv_hook(target_, library_).state, HookState::kStale);
    ASSERT_TRUE(remove_venv_hook(target_).ok());
    EXPECT_EQ(everything(), before);
}

TEST_F(Hooks, OfAnotherVersionOrGoneIsOursAndRefreshed) {
    for (const std::string& stale : {old_, directory_ / "gone/cpython-3.11.2/_pycds.so"}) {
        fs::create_symlink(stale, target_.stdlib_hook());
        fs::create_symlink(stale, target_.venv_link());
        EXPECT_EQ(stdlib_hook(target_, library_).state, HookState::kStale);
        EXPECT_FALSE(leads_to_client(stdlib_hook(target_, library_), target_));
        ASSERT_TRUE(make_stdlib_hook(target_, library_).ok());
        ASSERT_TRUE(make_venv_hook(target_, library_).ok());
        EXPECT_EQ(fs::read_symlink(target_.stdlib_hook()), library_);
        EXPECT_EQ(fs::read_symlink(target_.venv_link()), library_);
        ASSERT_TRUE(remove_stdlib_hook(target_).ok());
        ASSERT_TRUE(remove_venv_hook(target_).ok());
    }
}

TEST_F(Hooks, OfSomebodyElseIsNotTouched) {
    const std::string elsewhere = directory_.file("else/_pycds.so");  // in no cpython-X.Y.Z
    const auto foreign = [&](const std::string& path) {
        const std::vector<std::string> before = everything();
        Status made = path.find("/venv/") == std::string::npos ? make_stdlib_hook(target_, library_)
                                                               : make_venv_hook(target_, library_);
        Status removed = path.find("/venv/") == std::string::npos ? remove_stdlib_hook(target_)
                                                                  : remove_venv_hook(target_);
        ASSERT_FALSE(made.ok()) << path;
        ASSERT_FALSE(removed.ok()) << path;
        EXPECT_EQ(made.error().code, ErrorCode::kInvalidArgument);
        EXPECT_THAT(made.error().message, HasSubstr(path));
        EXPECT_THAT(removed.error().message, HasSubstr(path));
        EXPECT_EQ(everything(), before);
        fs::remove_all(path);
    };
    for (const std::string& path : {target_.stdlib_hook(), target_.venv_link()}) {
        std::ofstream(path) << "a library";
        foreign(path);
        fs::create_symlink(elsewhere, path);
        foreign(path);
        fs::create_symlink("cpython-3.11.2/_pycds.so", path);  // not absolute: not from us
        foreign(path);
        fs::create_directory(path);
        foreign(path);
    }
    std::ofstream(target_.venv_pth()) << "import something\n";
    foreign(target_.venv_pth());
    fs::create_symlink(library_, target_.venv_pth());
    foreign(target_.venv_pth());
}

TEST_F(Hooks, NeedTheRightToWrite) {
    if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
    fs::permissions(target_.stdlib, fs::perms{0555});
    fs::permissions(target_.site_packages, fs::perms{0555});
    for (const Status& made :
         {make_stdlib_hook(target_, library_), make_venv_hook(target_, library_)}) {
        ASSERT_FALSE(made.ok());
        EXPECT_EQ(made.error().code, ErrorCode::kPermissionDenied);
        EXPECT_THAT(made.error().message, HasSubstr("do this as root"));
    }
    fs::permissions(target_.stdlib, fs::perms{0755});
    fs::permissions(target_.site_packages, fs::perms{0755});
}

TEST_F(Hooks, LeadThroughTheLinkOfTheSocketUnitOfTheSameClients) {
    const std::string root = directory_ / "root";
    const std::string asleep = fmt::format("{}/cpython-3.11.2/_pycds{}", kRunningClients, kSuffix);
    EXPECT_EQ(link_to(library_, root), library_) << "there is no systemd";
    fs::create_directories(root + "/run/systemd/system");
    EXPECT_EQ(link_to(library_, root), library_) << "there is no unit";
    const auto unit = [&](const std::string& place, const std::string& clients) {
        fs::create_directories(root + place);
        std::ofstream(root + place + "/pycdsd.socket")
            << "[Socket]\nExecStartPost=/bin/ln -sfn " << clients << ' ' << kRunningClients << '\n';
    };
    unit("/usr/lib/systemd/system", directory_ / "pycds");
    EXPECT_EQ(link_to(library_, root), asleep);
    EXPECT_EQ(link_to(old_, root), old_) << "the unit is of other clients";
    unit("/etc/systemd/system", "/opt/pycds/client");
    EXPECT_EQ(link_to(library_, root), library_) << "the administrator's unit counts";
}

TEST_F(Hooks, AsleepAreOnAndOurs) {
    if (fs::exists(kRunningClients)) GTEST_SKIP() << kRunningClients << " is there";
    const std::string link = fmt::format("{}/cpython-3.11.2/_pycds{}", kRunningClients, kSuffix);
    ASSERT_TRUE(make_stdlib_hook(target_, link).ok());
    const Hook hook = stdlib_hook(target_, link);
    EXPECT_EQ(hook.state, HookState::kOn);
    EXPECT_TRUE(is_asleep(hook));
    EXPECT_TRUE(leads_to_client(hook, target_));
    EXPECT_EQ(stdlib_hook(target_, library_).state, HookState::kStale);
    ASSERT_TRUE(make_stdlib_hook(target_, library_).ok());
    EXPECT_FALSE(is_asleep(stdlib_hook(target_, library_)));
    ASSERT_TRUE(remove_stdlib_hook(target_).ok());
}

TEST_F(Hooks, AreFoundWithoutInterpreters) {
    const std::string name = std::string("/sitecustomize") + kSuffix;
    std::vector<std::string> ours;
    for (const char* place : {"usr/lib/python3.11", "usr/local/lib/python3.13"}) {
        fs::create_directories(directory_ / place);
        ours.push_back(directory_ / place + name);
        fs::create_symlink(old_, ours.back());
    }
    const std::string other = directory_.file("usr/lib/python3.12" + name, "somebody's");
    EXPECT_THAT(find_hooks(directory_.path()), ElementsAre(ours[0], ours[1]));
    EXPECT_FALSE(remove_hook(other).ok());
    for (const std::string& path : ours) EXPECT_TRUE(remove_hook(path).ok());
    EXPECT_TRUE(fs::exists(other));
    EXPECT_THAT(find_hooks(directory_.path()), ElementsAre());
}

// A program that answers what find_target() asks as an interpreter of that kind would.
std::string pretender(const TempDir& directory, const std::string& version,
                      const std::string& variant) {
    const std::string path = directory.file(
        "python", fmt::format("#!/bin/sh\n"
                              "case \"$*\" in\n"
                              "*suffixes*) printf '{}\\000.so\\000{}\\000{}\\000python3\\000';;\n"
                              "*) printf 'cpython\\n{}\\n\\n';;\n"
                              "esac\n",
                              directory.path(), version, variant, version));
    fs::permissions(path, fs::perms{0755});
    return path;
}

TEST(Enable, RefusesInterpretersWithoutAClient) {
    const TempDir directory;
    const ChildEnd none = pycdsctl({"enable", pretender(directory, "3.99.0", "")});
    EXPECT_EQ(none.status, 3);
    EXPECT_THAT(none.errors, HasSubstr("no client for"));
    EXPECT_THAT(none.errors, HasSubstr("there are those for"));
    EXPECT_EQ(pycdsctl({"enable", "--if-enabled", pretender(directory, "3.99.0", "")}).status, 0);
    for (const char* variant : {"debug", "free-threaded"}) {
        const ChildEnd end = pycdsctl({"enable", pretender(directory, "3.11.2", variant)});
        EXPECT_EQ(end.status, 2);
        EXPECT_THAT(end.errors, HasSubstr(variant));
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), fs::directory_iterator()), 1);
}

TEST(Enable, SaysWhatIsNoInterpreter) {
    const TempDir directory;
    for (const char* command : {"enable", "disable", "doctor"}) {
        EXPECT_EQ(pycdsctl({command, directory.path()}).status, 2);
        EXPECT_THAT(pycdsctl({command, directory.path()}).errors, HasSubstr("no pyvenv.cfg"));
        EXPECT_EQ(pycdsctl({command, directory / "missing"}).status, 3);
        EXPECT_THAT(pycdsctl({command, "--help"}).output, HasSubstr("Example:"));
    }
    // All are tried, and each failure is said.
    const ChildEnd both = pycdsctl({"enable", "--json", directory.path(), directory / "missing"});
    EXPECT_EQ(both.status, 2);
    EXPECT_TRUE(is_json(both.output)) << both.output;
    EXPECT_EQ(std::count(both.errors.begin(), both.errors.end(), '\n'), 2) << both.errors;
    EXPECT_EQ(pycdsctl({"enable"}).status, 2);
    EXPECT_EQ(pycdsctl({"disable"}).status, 2);
    EXPECT_EQ(pycdsctl({"disable", "--all", TEST_PYTHON}).status, 2);
    EXPECT_EQ(pycdsctl({"doctor", "--pid", "1", TEST_PYTHON}).status, 2);
}

}  // namespace
}  // namespace pycds::ctl
