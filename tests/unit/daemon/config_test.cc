// The command line and the configuration file: what is taken, and what is said about mistakes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "daemon/config/command_line.h"
#include "daemon/config/config_file.h"
#include "tests/unit/daemon/temp_dir.h"

namespace pycds::config {
namespace {

Result<CommandLine> parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "pycdsd");
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
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
               "100", "--image-budget", "200", "--verbose"});
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(line->options.socket, "/s");
    EXPECT_EQ(line->options.clients, "/c");
    EXPECT_EQ(line->options.build_deadline_s, 7u);
    EXPECT_EQ(line->options.build_memory_mib, 100u);
    EXPECT_EQ(line->options.image_budget_mib, 200u);
    EXPECT_TRUE(line->options.verbose);
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
    EXPECT_NE(help->exit->text.find("--image-budget"), std::string::npos);
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
    EXPECT_EQ(message("verbose = true\nsoket = /s\n"), "/etc/x.conf:2: no such option: soket");
    EXPECT_EQ(message("\n\nverbose\n"), "/etc/x.conf:3: expected name = value, not 'verbose'");
    EXPECT_EQ(message("verbose = perhaps"),
              "/etc/x.conf:1: verbose is 'true' or 'false', not 'perhaps'");
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
}

}  // namespace
}  // namespace pycds::config
