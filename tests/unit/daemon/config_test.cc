// The command line and the configuration file: what is taken, and what is said about mistakes.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <vector>

#include "daemon/config/command_line.h"
#include "daemon/config/config_file.h"
#include "daemon/config/reload.h"
#include "tests/unit/daemon/temp_dir.h"

namespace pycds::config {
namespace {

// The machine's own configuration is none of a test's.
constexpr const char* kNoSystemConfig = "/nowhere/pycdsd.conf";

Result<CommandLine> parse(std::vector<const char*> arguments,
                          const char* system_config = kNoSystemConfig) {
    arguments.insert(arguments.begin(), "pycdsd");
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data(), system_config);
}

TEST(CommandLine, WithoutOptionsIsTheSystemsDaemon) {
    const Result<CommandLine> line = parse({});
    ASSERT_TRUE(line.ok());
    EXPECT_FALSE(line->exit);
    EXPECT_EQ(line->options.socket, "/run/pycds/pycdsd.sock");
    EXPECT_FALSE(line->options.user);
    EXPECT_EQ(line->options.build_deadline_s, 300u);
    EXPECT_EQ(line->options.build_memory_mib, 4096u);
    EXPECT_FALSE(line->options.clients.empty());
}

TEST(CommandLine, AUsersDaemonListensInItsRuntimeDirectory) {
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    const Result<CommandLine> line = parse({"--user"});
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(line->options.socket, "/run/user/7/pycds/pycdsd.sock");
    unsetenv("XDG_RUNTIME_DIR");
    const Result<CommandLine> without = parse({"--user"});
    ASSERT_FALSE(without.ok());
    EXPECT_NE(without.error().message.find("XDG_RUNTIME_DIR"), std::string::npos);
    EXPECT_TRUE(parse({"--user", "--socket", "/tmp/s"}).ok());
}

TEST(CommandLine, TakesEveryOption) {
    const Result<CommandLine> line =
        parse({"--socket", "/s", "--clients", "/c", "--build-deadline", "7", "--build-memory",
               "100", "--image-budget", "200", "--user-image-budget", "0", "--users-image-budget",
               "9", "--verbose", "--discover", "false", "--interpreter",
               "/p", "--interpreter", "/q", "--cache", "/k"});
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(line->options.socket, "/s");
    EXPECT_EQ(line->options.clients, "/c");
    EXPECT_EQ(line->options.build_deadline_s, 7u);
    EXPECT_EQ(line->options.build_memory_mib, 100u);
    EXPECT_EQ(line->options.image_budget_mib, 200u);
    EXPECT_EQ(line->options.user_image_budget_mib, 0u);
    EXPECT_EQ(line->options.users_image_budget_mib, 9u);
    EXPECT_TRUE(line->options.verbose);
    EXPECT_FALSE(line->options.discovers());
    EXPECT_EQ(line->options.interpreters, (std::vector<std::string>{"/p", "/q"}));
    EXPECT_EQ(line->options.cache, "/k");
}

TEST(CommandLine, WhatIsSaidLastCounts) {
    const Result<CommandLine> line =
        parse({"--build-deadline", "7", "--build-deadline", "8", "--interpreter", "/p",
               "--interpreter", "/p", "--interpreter", "", "--interpreter", "/q"});
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(line->options.build_deadline_s, 8u);
    EXPECT_EQ(line->options.interpreters, std::vector<std::string>{"/q"});
}

TEST(CommandLine, TheSystemsDaemonDiscoversAUsersDoesNot) {
    EXPECT_TRUE(parse({})->options.discovers());
    EXPECT_FALSE(parse({"--user", "--socket", "/s"})->options.discovers());
    EXPECT_TRUE(parse({"--user", "--socket", "/s", "--discover", "true"})->options.discovers());
}

TEST(CommandLine, TheCacheIsThatOfTheService) {
    EXPECT_EQ(parse({})->options.cache, "");
    setenv("CACHE_DIRECTORY", "/var/cache/pycds:/var/cache/more", 1);
    EXPECT_EQ(parse({})->options.cache, "/var/cache/pycds");
    EXPECT_EQ(parse({"--cache", "none"})->options.cache, "");
    EXPECT_EQ(parse({"--cache", "/k"})->options.cache, "/k");
    unsetenv("CACHE_DIRECTORY");
    const Result<CommandLine> line = parse({"--cache", "k"});
    ASSERT_FALSE(line.ok());
    EXPECT_EQ(line.error().message, "--cache is an absolute path or 'none', not 'k'");
}

TEST(CommandLine, SaysWhatIsWrongWithAValue) {
    const Result<CommandLine> line = parse({"--build-deadline", "soon"});
    ASSERT_FALSE(line.ok());
    EXPECT_EQ(line.error().message, "--build-deadline is a number from 1 to 86400, not 'soon'");
    EXPECT_FALSE(parse({"--build-deadline", "0"}).ok());
    EXPECT_FALSE(parse({"--build-deadline", "10s"}).ok());
    EXPECT_FALSE(parse({"--build-memory", "-1"}).ok());
    EXPECT_FALSE(parse({"--image-budget", "99999999999999999999"}).ok());
    EXPECT_FALSE(parse({"--socket", "relative"}).ok());
    EXPECT_FALSE(parse({"--socket", ("/" + std::string(107, 's')).c_str()}).ok());
    EXPECT_FALSE(parse({"--clients", ("/" + std::string(5000, 'c')).c_str()}).ok());
    EXPECT_FALSE(parse({"--interpreter", "python3"}).ok());
    EXPECT_FALSE(parse({"--discover", "maybe"}).ok());
    EXPECT_FALSE(parse({"--cache", ""}).ok());
}

TEST(CommandLine, HelpAndVersionAndMistakesEndAtOnce) {
    const Result<CommandLine> version = parse({"--version"});
    ASSERT_TRUE(version.ok());
    ASSERT_TRUE(version->exit);
    EXPECT_EQ(version->exit->status, 0);
    EXPECT_TRUE(version->exit->text.starts_with("pycdsd ")) << version->exit->text;
    const Result<CommandLine> help = parse({"--help"});
    ASSERT_TRUE(help.ok());
    ASSERT_TRUE(help->exit);
    EXPECT_EQ(help->exit->status, 0);
    for (const OptionInfo& option : all_options()) {
        EXPECT_NE(help->exit->text.find(std::string("--") + option.name), std::string::npos)
            << option.name;
    }
    const Result<CommandLine> mistake = parse({"--sokcet", "/s"});
    ASSERT_TRUE(mistake.ok());
    ASSERT_TRUE(mistake->exit);
    EXPECT_EQ(mistake->exit->status, 2);
}

TEST(ConfigFile, SetsOptionsOfTheSameNames) {
    Options options;
    const Status status = parse_config(
        "# comment\n\n socket = /a b/s \r\nbuild-deadline=9\nverbose = yes\nuser = false", "f",
        &options);
    ASSERT_TRUE(status.ok());
    EXPECT_EQ(options.socket, "/a b/s");
    EXPECT_EQ(options.build_deadline_s, 9u);
    EXPECT_TRUE(options.verbose);
    EXPECT_FALSE(options.user);
}

TEST(ConfigFile, AnErrorNamesFileAndLine) {
    Options options;
    const auto message = [&](std::string_view text) {
        const Status status = parse_config(text, "/etc/x.conf", &options);
        return status ? std::string() : status.error().message;
    };
    EXPECT_EQ(message("verbose = true\nsoket = /s\n"),
              "/etc/x.conf:2: no such option: 'soket'; the options are socket, user, clients, "
              "discover, interpreter, cache, image-budget, user-image-budget, "
              "users-image-budget, build-deadline, build-memory, max-connections, "
              "user-connections, user-descriptors, user-requests, user-builds, patience, verbose");
    EXPECT_EQ(message("\n\nverbose\n"), "/etc/x.conf:3: expected name = value, not 'verbose'");
    EXPECT_EQ(message("verbose = perhaps"),
              "/etc/x.conf:1: verbose is 'true' or 'false', not 'perhaps'");
    EXPECT_EQ(message("image-budget ="),
              "/etc/x.conf:1: image-budget is a number from 1 to 1073741824, not ''");
    EXPECT_EQ(message("\ncache = var\n"),
              "/etc/x.conf:2: cache is an absolute path or 'none', not 'var'");
    EXPECT_EQ(message("interpreter = python3"),
              "/etc/x.conf:1: interpreter is an absolute path, not 'python3'");
    EXPECT_EQ(message("= x").substr(0, 34), "/etc/x.conf:1: no such option: '';");
}

TEST(ConfigFile, IsTextAndWhatIsSaidOfItToo) {
    using namespace std::string_literals;
    Options options;
    const auto message = [&](std::string_view text) {
        const Status status = parse_config(text, "f", &options);
        return status ? std::string() : status.error().message;
    };
    EXPECT_EQ(message("verbose = no\nsocket = /\xff\n"), "f:2: not a line of UTF-8 text");
    EXPECT_EQ(message("socket = /a\0b\n"s), "f:1: not a line of UTF-8 text");
    EXPECT_EQ(message("socket = /\x1b[2J\n"), "f:1: not a line of UTF-8 text");
    EXPECT_EQ(message("\x7f"
                      "ELF"),
              "f:1: not a line of UTF-8 text");
    EXPECT_EQ(message("socket = /caf\u00e9\n# \xff in a comment is nobody's business\n"), "");
    EXPECT_EQ(options.socket, "/caf\u00e9");
    EXPECT_EQ(message("\ufeffsocket\t=\t/s\r\n"), "") << "an editor's byte order mark";
    EXPECT_EQ(options.socket, "/s");
    EXPECT_LT(message("verbose = " + std::string(100'000, 'x')).size(), 300u);
    EXPECT_LT(message(std::string(100'000, 'x')).size(), 300u);
    EXPECT_LT(message(std::string(100'000, 'x') + "= 1").size(), 500u);
}

TEST(ConfigFile, InterpretersAddUp) {
    Options options;
    ASSERT_TRUE(
        parse_config("interpreter = /a\ninterpreter = /b\ninterpreter = /a", "f", &options).ok());
    ASSERT_TRUE(parse_config("interpreter = /c", "g", &options).ok());
    EXPECT_EQ(option_text(options, "interpreter"), "/a, /b, /c");
    ASSERT_TRUE(parse_config("interpreter =\ninterpreter = /d", "h", &options).ok());
    EXPECT_EQ(option_text(options, "interpreter"), "/d");
}

TEST(ConfigFile, TheCommandLineHasTheLastWord) {
    const test::TempDir dir;
    test::write_file(dir / "conf", "socket = /from-file\nbuild-deadline = 11\n");
    const std::string file = dir / "conf";
    const Result<CommandLine> line = parse({"--config", file.c_str(), "--socket", "/from-line"});
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(line->options.socket, "/from-line");
    EXPECT_EQ(line->options.build_deadline_s, 11u);
    const Result<CommandLine> missing = parse({"--config", "/nowhere/conf"});
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().message, "cannot read /nowhere/conf: No such file or directory");
}

TEST(ConfigFile, IsAFileOfSomeSize) {
    const Result<CommandLine> directory = parse({"--config", "/tmp"});
    ASSERT_FALSE(directory.ok());
    EXPECT_EQ(directory.error().message, "cannot read /tmp: Is a directory");
    EXPECT_FALSE(parse({"--config", "/dev/zero"}).ok());
    EXPECT_TRUE(parse({"--config", "/dev/null"}).ok());
    const test::TempDir dir;
    const std::string fifo = dir / "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0644), 0);
    const Result<CommandLine> pipe = parse({"--config", fifo.c_str()});
    ASSERT_FALSE(pipe.ok());
    EXPECT_EQ(pipe.error().message, "cannot read " + fifo + ": it is a pipe, not a file");
}

class DropIns : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(mkdir((dir_ / "p.conf.d").c_str(), 0755), 0); }

    std::string file() const { return dir_ / "p.conf"; }
    std::string drop_in(const std::string& name) const { return dir_ / ("p.conf.d/" + name); }
    // Of the system's daemon.
    Result<CommandLine> read() const { return parse({}, file().c_str()); }
    std::string message() const {
        const Result<CommandLine> line = read();
        return line ? std::string() : line.error().message;
    }

    test::TempDir dir_;
};

TEST_F(DropIns, AreReadAfterTheFileInTheOrderOfTheirNames) {
    test::write_file(file(), "build-deadline = 1\nimage-budget = 1\nbuild-memory = 101\n");
    test::write_file(drop_in("20-b.conf"), "build-deadline = 3\n");
    test::write_file(drop_in("10-a.conf"), "build-deadline = 2\nimage-budget = 2\n");
    for (const char* other : {"30-c.conf.dpkg-old", ".40-d.conf", "50-e.conf~"}) {
        test::write_file(drop_in(other), "nonsense");
    }
    for (const Result<CommandLine>& line : {read(), parse({"--config", file().c_str()})}) {
        ASSERT_TRUE(line.ok()) << line.error().message;
        EXPECT_EQ(line->options.build_deadline_s, 3u);
        EXPECT_EQ(line->options.image_budget_mib, 2u);
        EXPECT_EQ(line->options.build_memory_mib, 101u);
    }
    EXPECT_EQ(parse({"--user", "--socket", "/s"}, file().c_str())->options.build_deadline_s, 300u)
        << "a user's daemon is not the system's";
}

TEST_F(DropIns, DoWithoutTheFile) {
    test::write_file(drop_in("a.conf"), "build-deadline = 2\n");
    ASSERT_EQ(symlink("/dev/null", drop_in("b.conf").c_str()), 0);
    ASSERT_TRUE(read().ok()) << message();
    EXPECT_EQ(read()->options.build_deadline_s, 2u);
    EXPECT_FALSE(parse({"--config", file().c_str()}).ok()) << "one that is named must exist";
}

TEST_F(DropIns, AMistakeNamesTheFileThatItIsIn) {
    test::write_file(file(), "verbose = yes\n");
    test::write_file(drop_in("10-x.conf"), "# a\n\nsoket = /s\n");
    EXPECT_TRUE(message().starts_with(drop_in("10-x.conf") + ":3: no such option: 'soket'; "))
        << message();
}

TEST_F(DropIns, ThatCannotBeReadAreNamed) {
    ASSERT_EQ(symlink("/nowhere/x", drop_in("10-x.conf").c_str()), 0);
    EXPECT_EQ(message(), "cannot read " + drop_in("10-x.conf") +
                             ": it is a symbolic link to what does not exist");
    ASSERT_EQ(unlink(drop_in("10-x.conf").c_str()), 0);
    ASSERT_EQ(mkdir(drop_in("20-x.conf").c_str(), 0755), 0);
    EXPECT_EQ(message(), "cannot read " + drop_in("20-x.conf") + ": Is a directory");
    ASSERT_EQ(rmdir(drop_in("20-x.conf").c_str()), 0);
    ASSERT_EQ(symlink("/nowhere/x", file().c_str()), 0);
    EXPECT_EQ(message(),
              "cannot read " + file() + ": it is a symbolic link to what does not exist");
    ASSERT_EQ(unlink(file().c_str()), 0);
    ASSERT_EQ(rmdir((file() + ".d").c_str()), 0);
    EXPECT_EQ(message(), "");
    test::write_file(file() + ".d", "");
    EXPECT_EQ(message(), "cannot read " + file() + ".d: Not a directory");
}

TEST_F(DropIns, ThatMayNotBeReadAreNamed) {
    if (geteuid() == 0) {
        // What no permission keeps root from: a link that leads to itself.
        ASSERT_EQ(symlink("x.conf", drop_in("x.conf").c_str()), 0);
        EXPECT_EQ(message(),
                  "cannot read " + drop_in("x.conf") + ": Too many levels of symbolic links");
        return;
    }
    test::write_file(drop_in("x.conf"), "", 0);
    EXPECT_EQ(message(), "cannot read " + drop_in("x.conf") + ": Permission denied");
}

class Reloading : public DropIns {
  protected:
    Result<Reload> again(std::vector<const char*> arguments = {}) {
        arguments.insert(arguments.begin(), "pycdsd");
        const auto argc = static_cast<int>(arguments.size());
        if (!current_) {
            Result<CommandLine> line = parse_command_line(argc, arguments.data(), file().c_str());
            if (!line) return line.error();
            current_ = line->options;
        }
        return reload(argc, arguments.data(), *current_, file().c_str());
    }

    std::optional<Options> current_;
};

TEST_F(Reloading, TellsWhatChanged) {
    test::write_file(file(), "image-budget = 100\ninterpreter = /a\n");
    Result<Reload> same = again();
    ASSERT_TRUE(same.ok()) << same.error().message;
    EXPECT_TRUE(same->changed.empty());
    EXPECT_TRUE(same->need_restart.empty());
    test::write_file(file(), "image-budget = 200\nverbose = true\n");
    const Result<Reload> other = again();
    ASSERT_TRUE(other.ok());
    EXPECT_EQ(other->changed, (std::vector<std::string>{"interpreter = none (was /a)",
                                                        "image-budget = 200 (was 100)",
                                                        "verbose = true (was false)"}));
    EXPECT_EQ(other->options.image_budget_mib, 200u);
    EXPECT_TRUE(other->options.verbose);
}

TEST_F(Reloading, KeepsWhatNeedsARestart) {
    test::write_file(file(), "cache = /a\nbuild-deadline = 1\n");
    ASSERT_TRUE(again().ok());
    test::write_file(file(), "cache = /b\nsocket = /s\nclients = /c\nuser = yes\n");
    const Result<Reload> other = again();
    ASSERT_TRUE(other.ok());
    EXPECT_EQ(other->changed, std::vector<std::string>{"build-deadline = 300 (was 1)"});
    EXPECT_EQ(other->need_restart.size(), 4u);
    EXPECT_EQ(other->options.cache, "/a");
    EXPECT_EQ(other->options.socket, current_->socket);
    EXPECT_EQ(other->options.clients, current_->clients);
    EXPECT_FALSE(other->options.user);
    EXPECT_TRUE(other->options.discovers()) << "it follows from --user, which waits";
}

TEST_F(Reloading, TheCommandLineKeepsTheLastWordAndAMistakeIsAnError) {
    test::write_file(file(), "image-budget = 100\n");
    ASSERT_TRUE(again({"--image-budget", "7"}).ok());
    test::write_file(file(), "image-budget = 200\n");
    EXPECT_TRUE(again({"--image-budget", "7"})->changed.empty());
    test::write_file(file(), "image-budget = lots\n");
    const Result<Reload> bad = again({"--image-budget", "7"});
    ASSERT_FALSE(bad.ok());
    EXPECT_TRUE(bad.error().message.starts_with(file() + ":1: image-budget is a number"));
}

}  // namespace
}  // namespace pycds::config
