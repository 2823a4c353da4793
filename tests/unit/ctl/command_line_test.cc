// The program itself: exit statuses, messages, JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "ctl/env.h"
#include "fake_daemon.h"
#include "src/common/os/sealed_memfd.h"
#include "support.h"

namespace pycds::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// One line, of the form that the contract wants.
void expect_complaint(const ChildEnd& end, int status) {
    EXPECT_EQ(end.status, status) << end.errors;
    EXPECT_THAT(end.errors, StartsWith("pycdsctl: "));
    EXPECT_EQ(std::count(end.errors.begin(), end.errors.end(), '\n'), 1) << end.errors;
    EXPECT_EQ(end.output, "");
}

// The same for --json: the line, and a document with its text.
void expect_json_complaint(const ChildEnd& end, int status, const std::string& code) {
    EXPECT_EQ(end.status, status) << end.errors;
    EXPECT_THAT(end.errors, StartsWith("pycdsctl: "));
    EXPECT_EQ(std::count(end.errors.begin(), end.errors.end(), '\n'), 1) << end.errors;
    EXPECT_TRUE(is_json(end.output)) << end.output;
    EXPECT_THAT(end.output, HasSubstr("\"error\": {"));
    EXPECT_THAT(end.output, HasSubstr("\"code\": \"" + code + "\""));
    EXPECT_THAT(end.output, HasSubstr("\"message\": "));
}

// Nothing that a terminal would act upon, nothing that is not UTF-8.
void expect_harmless(const ChildEnd& end) {
    for (const std::string& text : {end.output, end.errors}) {
        EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
        EXPECT_EQ(text.find('\xff'), std::string::npos) << text;
    }
}

class CommandHelp : public testing::TestWithParam<const char*> {};

TEST_P(CommandHelp, HasAnExample) {
    const ChildEnd end = pycdsctl({GetParam(), "--help"});
    EXPECT_EQ(end.status, 0);
    EXPECT_THAT(end.output, HasSubstr("Example"));
    EXPECT_THAT(end.output, HasSubstr(std::string("pycdsctl ") + GetParam()));
    EXPECT_EQ(end.errors, "");
}

INSTANTIATE_TEST_SUITE_P(Commands, CommandHelp,
                         testing::Values("build", "status", "list", "show", "verify", "drop", "env",
                                         "explain", "run"),
                         [](const auto& info) { return std::string(info.param); });

TEST(CommandLine, HelpListsExitStatuses) {
    const ChildEnd end = pycdsctl({"--help"});
    EXPECT_EQ(end.status, 0);
    for (const char* text : {"Exit status:", "  0  ", "  7  ", "Example:"}) {
        EXPECT_THAT(end.output, HasSubstr(text));
    }
}

TEST(CommandLine, UsageErrors) {
    expect_complaint(pycdsctl({}), 2);
    expect_complaint(pycdsctl({"nonsense"}), 2);
    expect_complaint(pycdsctl({"status", "--nonsense"}), 2);
    expect_complaint(pycdsctl({"verify"}), 2);
    expect_complaint(pycdsctl({"drop"}), 2);
    expect_complaint(pycdsctl({"build", "--all", "json"}), 2);
    expect_complaint(pycdsctl({"show", "1", "--pages"}), 2);
    expect_complaint(pycdsctl({"show", "1", "--pages", "0"}), 2);
    expect_complaint(pycdsctl({"show", "1", "--pages", "python3"}), 2);
    expect_complaint(pycdsctl({"show", "1", "--pages", "1", "--roots"}), 2);
    expect_complaint(pycdsctl({"show", "1", "--svg", "file"}), 2);
    expect_complaint(pycdsctl({"build", "-O", "3"}), 2);
    expect_complaint(pycdsctl({"build", "--python", TEST_PYTHON, "--import", " , "}), 2);
    expect_complaint(pycdsctl({"build", "--python", "/bin/true"}), 2);
    expect_complaint(pycdsctl({"explain"}), 2);
    for (const char* name :
         {"", ".", ".relative", "json.", "json..decoder", "/usr/bin", "a/b.txt"}) {
        expect_complaint(pycdsctl({"explain", "--python", TEST_PYTHON, name}), 2);
    }
    expect_complaint(pycdsctl({"explain", "--python", "/bin/true", "json"}), 2);
    expect_complaint(pycdsctl({"explain", "--python", "/no/python", "json"}), 3);
}

TEST(CommandLine, NoDaemon) {
    const TempDir directory;
    const std::string socket = directory / "socket";
    for (const std::vector<std::string>& command :
         std::vector<std::vector<std::string>>{{"status"},
                                               {"list"},
                                               {"drop", "all"},
                                               {"show", "1"},
                                               {"verify", "--all"},
                                               {"build", "--python", TEST_PYTHON, "json"}}) {
        std::vector<std::string> arguments{"--socket", socket};
        arguments.insert(arguments.end(), command.begin(), command.end());
        const ChildEnd end = pycdsctl(arguments);
        expect_complaint(end, 5);
        EXPECT_THAT(end.errors, HasSubstr("no daemon answers at " + socket));
    }
    expect_complaint(pycdsctl({"status"}, {"PYCDS_SOCKET=" + socket}), 5);
}

TEST(CommandLine, FailuresAsJson) {
    const TempDir directory;
    const std::string socket = directory / "socket";
    for (const std::vector<std::string>& command :
         std::vector<std::vector<std::string>>{{"status"},
                                               {"list"},
                                               {"drop", "all"},
                                               {"show", "1"},
                                               {"verify", "--all"},
                                               {"build", "--python", TEST_PYTHON, "json"}}) {
        std::vector<std::string> arguments{"--socket", socket};
        arguments.insert(arguments.end(), command.begin(), command.end());
        arguments.emplace_back("--json");
        expect_json_complaint(pycdsctl(arguments), 5, "unavailable");
    }
    expect_json_complaint(pycdsctl({"env", "--json", "--python", "/no/python"}), 3, "not-found");
    expect_json_complaint(pycdsctl({"show", "--json", "/no/such/file"}), 3, "not-found");
    expect_json_complaint(pycdsctl({"status", "--json", "--nonsense"}), 2, "invalid-argument");
    expect_json_complaint(pycdsctl({"drop", "--json"}), 2, "invalid-argument");
}

TEST(CommandLine, Files) {
    const TempDir directory;
    expect_complaint(pycdsctl({"show", "/no/such/file"}), 3);
    expect_complaint(pycdsctl({"show", directory.path()}), 6);
    const std::string text = directory.file("text", std::string(8192, 'x'));
    expect_complaint(pycdsctl({"show", text}), 6);
    expect_complaint(pycdsctl({"verify", text}), 6);
    const ChildEnd both = pycdsctl({"verify", "--json", text, directory.file("empty")});
    expect_json_complaint(both, 6, "corrupt");
    EXPECT_THAT(both.output, HasSubstr("\"images\": ["));
}

TEST(CommandLine, FileThatMayNotBeRead) {
    if (geteuid() == 0) GTEST_SKIP() << "root may read every file";
    const TempDir directory;
    const std::string text = directory.file("text");
    chmod(text.c_str(), 0);
    expect_complaint(pycdsctl({"show", text}), 4);
}

class WithDaemon : public testing::Test {
  protected:
    ChildEnd run(FakeDaemon::Handler handler, std::vector<std::string> arguments,
                 std::optional<uid_t> uid = {}) {
        // It shows itself to the daemon before it sends anything (ctl/build.cc).
        if (arguments.front() == "build") handler = greeted(std::move(handler));
        const FakeDaemon daemon(socket_, std::move(handler), uid);
        arguments.insert(arguments.begin(), {"--socket", socket_});
        ChildEnd end = pycdsctl(std::move(arguments));
        unlink(socket_.c_str());
        return end;
    }

    static FakeDaemon::Handler greeted(FakeDaemon::Handler handler) {
        return [handler = std::move(handler)](const wire::Request& request,
                                              const ReceivedMessage& message) {
            if (std::holds_alternative<wire::StatusRequest>(request)) {
                return std::vector<FakeDaemon::Step>{
                    {wire::encode(wire::Reply(wire::StatusReply{})), -1}};
            }
            return handler(request, message);
        };
    }

    static wire::ImageInfo image() {
        wire::ImageInfo info;
        info.id = "7";
        info.python = "3.11.2 (main) [GCC]";
        info.domain = wire::Domain::kSystem;
        info.roots = 12;
        info.size = 1 << 20;
        return info;
    }

    TempDir directory_;
    std::string socket_ = directory_ / "socket";
};

TEST_F(WithDaemon, EveryReplyPrintsForPeopleAndAsJson) {
    struct Case {
        std::vector<std::string> arguments;
        wire::Reply reply;
    };
    const std::string source = directory_.file("some_module.py");
    const ScopedVariable path("PYTHONPATH", directory_.path().c_str());
    for (const Case& c : std::vector<Case>{{{"status"}, wire::StatusReply{}},
                                           {{"list"}, wire::ListReply{{image()}}},
                                           {{"list"}, wire::ListReply{}},
                                           {{"drop", "7"}, wire::DropReply{1}},
                                           {{"build", "--python", TEST_PYTHON, "some_module"},
                                            wire::BuildReply{{image()}, {{"no-pyc", 3}}, 1234}}}) {
        const ChildEnd people = run(always({c.reply}), c.arguments);
        EXPECT_EQ(people.status, 0) << people.errors;
        EXPECT_NE(people.output, "");
        std::vector<std::string> arguments = c.arguments;
        arguments.emplace_back("--json");
        const ChildEnd scripts = run(always({c.reply}), arguments);
        EXPECT_EQ(scripts.status, 0) << scripts.errors;
        EXPECT_EQ(scripts.errors, "");
        EXPECT_TRUE(is_json(scripts.output)) << scripts.output;
    }
}

TEST_F(WithDaemon, TextOfTheDaemonCannotControlTheTerminal) {
    const std::string evil = "\x1b]0;evil\x07\n\xff";
    wire::ImageInfo info = image();
    info.id = evil;
    info.python = evil;
    wire::StatusReply status;
    status.version = evil;
    const ChildEnd listed = run(always({wire::ListReply{{info}}}), {"list"});
    EXPECT_EQ(listed.status, 0) << listed.errors;
    EXPECT_EQ(std::count(listed.output.begin(), listed.output.end(), '\n'), 2) << listed.output;
    EXPECT_THAT(listed.output, HasSubstr("\\x1b]0;evil\\x07\\x0a"));
    expect_harmless(listed);
    expect_harmless(run(always({status}), {"status"}));
    const FakeDaemon::Handler nothing_there =
        [&](const wire::Request& request, const ReceivedMessage&) -> std::vector<FakeDaemon::Step> {
        if (std::holds_alternative<wire::ListRequest>(request)) {
            return {{wire::encode(wire::Reply(wire::ListReply{{info, info}})), -1}};
        }
        return {{wire::encode(wire::Reply(Error{ErrorCode::kNotFound, "no image " + evil})), -1}};
    };
    expect_harmless(run(nothing_there, {"verify", "--all"}));

    // PYTHON names itself as it was called.
    const std::string source = directory_.file("some_module.py");
    const ScopedVariable path("PYTHONPATH", directory_.path().c_str());
    const std::string python = directory_ / "\x1b]0;evil\x07";
    fs::create_symlink(TEST_PYTHON, python);
    const ChildEnd built = run(always({wire::BuildReply{{info}, {{evil, 3}}, 1234}}),
                               {"build", "--python", python, "some_module"});
    EXPECT_EQ(built.status, 0) << built.errors;
    EXPECT_THAT(built.output, HasSubstr("\\x1b]0;evil\\x07 (Python"));
    expect_harmless(built);
}

TEST_F(WithDaemon, RootIsWarnedOnceOfADaemonOfSomebodyElse) {
    if (geteuid() != 0) GTEST_SKIP() << "only root can be several users";
    const std::string warning =
        "pycdsctl: warning: the daemon at " + socket_ + " runs as uid 65532\n";
    const ChildEnd status = run(always({wire::StatusReply{}}), {"status"}, 65532);
    EXPECT_EQ(status.status, 0);
    EXPECT_EQ(status.errors, warning);
    const std::string source = directory_.file("some_module.py");
    const ScopedVariable path("PYTHONPATH", directory_.path().c_str());
    // Which connects twice.
    const ChildEnd built = run(always({wire::BuildReply{{image()}, {}, 1}}),
                               {"build", "--python", TEST_PYTHON, "some_module"}, 65532);
    EXPECT_EQ(built.status, 0);
    EXPECT_EQ(built.errors, warning);
}

TEST_F(WithDaemon, ErrorsOfTheDaemonBecomeExitStatuses) {
    struct Case {
        ErrorCode code;
        int status;
        const char* name;
    };
    for (const auto& [code, status, name] :
         std::vector<Case>{{ErrorCode::kInvalidArgument, 2, "invalid-argument"},
                           {ErrorCode::kNotFound, 3, "not-found"},
                           {ErrorCode::kPermissionDenied, 4, "permission-denied"},
                           {ErrorCode::kUnavailable, 5, "unavailable"},
                           {ErrorCode::kCorrupt, 6, "corrupt"},
                           {ErrorCode::kBuildFailed, 7, "build-failed"},
                           {ErrorCode::kSystem, 1, "system"}}) {
        const ChildEnd end = run(always({Error{code, "reason\nof it"}}), {"status"});
        expect_complaint(end, status);
        EXPECT_THAT(end.errors, HasSubstr("reason of it"));
        expect_json_complaint(run(always({Error{code, "reason\nof it"}}), {"status", "--json"}),
                              status, name);
    }
}

TEST_F(WithDaemon, BuildSendsThePlanAndTheInterpreter) {
    const std::string source = directory_.file("some_module.py");
    const ScopedVariable path("PYTHONPATH", directory_.path().c_str());
    std::string python;
    uint32_t optimize = 0;
    std::string plan(4096, '\0');
    const ChildEnd end = run(
        [&](const wire::Request& request, const ReceivedMessage& message) {
            const auto& build = std::get<wire::BuildRequest>(request);
            python = build.python;
            optimize = build.optimize;
            const ssize_t size = pread(message.fds[0].get(), plan.data(), plan.size(), 0);
            plan.resize(size < 0 ? 0 : static_cast<size_t>(size));
            return std::vector<FakeDaemon::Step>{
                {wire::encode(wire::Reply(wire::BuildReply{{image()}, {}, 1})), -1}};
        },
        {"build", "--python", TEST_PYTHON, "-O", "1", "some_module"});
    EXPECT_EQ(end.status, 0) << end.errors;
    EXPECT_EQ(python, TEST_PYTHON);
    EXPECT_EQ(optimize, 1U);
    EXPECT_EQ(plan, source + '\0');
}

TEST_F(WithDaemon, ModuleNotFound) {
    const ChildEnd end =
        run(always({wire::BuildReply{}}), {"build", "--python", TEST_PYTHON, "no_such_module"});
    expect_complaint(end, 3);
    EXPECT_THAT(end.errors, HasSubstr("no module named no_such_module for " TEST_PYTHON));
}

TEST_F(WithDaemon, UnsealedImageIsCorrupt) {
    Result<UniqueFd> fd = create_memfd("unsealed");
    ASSERT_TRUE(fd);
    const ChildEnd end = run(always({wire::FetchReply{image()}}, fd->get()), {"verify", "7"});
    expect_complaint(end, 6);
    EXPECT_THAT(end.errors, HasSubstr("not sealed"));
}

TEST_F(WithDaemon, SealedGarbageIsCorrupt) {
    const std::string garbage(8192, 'x');
    Result<UniqueFd> fd =
        make_sealed_copy("garbage", std::as_bytes(std::span<const char>(garbage)));
    ASSERT_TRUE(fd);
    expect_complaint(run(always({wire::FetchReply{image()}}, fd->get()), {"verify", "7"}), 6);
    expect_complaint(run(always({wire::FetchReply{image()}}, fd->get()), {"show", "7"}), 6);
}

TEST(Env, FindsTheClientOfTheBuildTreeThenTheInstalledOne) {
    const TempDir tree;
    Interpreter python{"p", "/usr/bin/p", "/usr/bin/p", "3.11.2"};
    EXPECT_EQ(find_client(python, tree / "bin").error().code, ErrorCode::kNotFound);
    tree.file("lib/pycds/client/cpython-3.11.2/x");
    EXPECT_EQ(*find_client(python, tree / "bin"), tree / "lib/pycds/client/cpython-3.11.2");
    tree.file("client/cpython-3.11.2/x");
    EXPECT_EQ(*find_client(python, tree / "bin"), tree / "client/cpython-3.11.2");
    python.version = "3.12.0";
    EXPECT_THAT(find_client(python, tree / "bin").error().message, HasSubstr("3.11.2"));
}

}  // namespace
}  // namespace pycds::ctl
