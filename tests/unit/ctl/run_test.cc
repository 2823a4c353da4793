#include "ctl/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_daemon.h"
#include "src/common/image/format.h"
#include "support.h"

namespace pycds::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Words = std::vector<std::string>;

struct Split {
    Words own;
    Words command;
    bool is_run;
};

Split split(Words words) {
    words.insert(words.begin(), "pycdsctl");
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    const SplitArguments out =
        split_run_arguments(static_cast<int>(arguments.size()), arguments.data());
    return {{out.own.begin() + 1, out.own.end()}, out.command, out.is_run};
}

TEST(SplitRunArguments, WhatFollowsTheCommandIsItsOwn) {
    const Split plain = split({"run", "python3", "-c", "pass", "--", "run"});
    EXPECT_TRUE(plain.is_run);
    EXPECT_THAT(plain.own, ElementsAre("run"));
    EXPECT_THAT(plain.command, ElementsAre("python3", "-c", "pass", "--", "run"));

    const Split marked = split({"--socket", "run", "run", "--quiet", "--", "--quiet", "x"});
    EXPECT_THAT(marked.own, ElementsAre("--socket", "run", "run", "--quiet"));
    EXPECT_THAT(marked.command, ElementsAre("--quiet", "x"));

    const Split after = split({"--socket=s", "run", "--socket", "run", "run", "run"});
    EXPECT_THAT(after.own, ElementsAre("--socket=s", "run", "--socket", "run"));
    EXPECT_THAT(after.command, ElementsAre("run", "run"));

    EXPECT_THAT(split({"run", "", "x"}).command, ElementsAre("", "x"));
    EXPECT_THAT(split({"run", "-", "x"}).command, ElementsAre("-", "x"));
    EXPECT_THAT(split({"run"}).command, IsEmpty());
    EXPECT_THAT(split({"run", "--help"}).own, ElementsAre("run", "--help"));
}

TEST(SplitRunArguments, OtherCommandsKeepTheirs) {
    for (const Words& words : {Words{"build", "run", "--all"}, Words{"show", "--", "run", "x"},
                               Words{"--version"}, Words{"drop", "run"}, Words{}}) {
        const Split other = split(words);
        EXPECT_FALSE(other.is_run);
        EXPECT_EQ(other.own, words);
        EXPECT_THAT(other.command, IsEmpty());
    }
}

TEST(Run, SetsWhatTheLinkerReads) {
    const TempDir directory;
    const FakeDaemon daemon(directory / "socket",
                            always({wire::LayoutReply{image::kCommonBaseBegin}}));
    const Words show{"sh", "-c", "echo \"$PYCDS_LAYOUT|$PYCDS_SOCKET|$LD_AUDIT\""};
    Words arguments{"--socket", directory / "socket", "run", "--quiet"};
    arguments.insert(arguments.end(), show.begin(), show.end());
    EXPECT_THAT(pycdsctl(arguments).output, testing::MatchesRegex("660+[|]" + directory.path() +
                                                                  "/socket[|].*/pycds_place.so\n"));
    arguments.insert(arguments.begin() + 3, "--children");
    EXPECT_THAT(pycdsctl(arguments).output, HasSubstr("00+|"));
}

TEST(Run, BelievesNoAddressThatItCannotBe) {
    const TempDir directory;
    for (const uint64_t base :
         {uint64_t{0}, image::kCommonBaseEnd, image::kCommonBaseBegin + 4096}) {
        const std::string socket = directory / std::to_string(base);
        const FakeDaemon daemon(socket, always({wire::LayoutReply{base}}));
        const ChildEnd end =
            pycdsctl({"--socket", socket, "run", "sh", "-c", "echo ${LD_AUDIT-none}"});
        EXPECT_EQ(end.output, "none\n");
        EXPECT_THAT(end.errors, HasSubstr("started as without run"));
    }
}

TEST(Run, ADaemonThatDoesNotKnowItIsNoReasonNotToStart) {
    const TempDir directory;
    const FakeDaemon daemon(
        directory / "socket",
        always({Error{ErrorCode::kInvalidArgument, "a request that is unknown"}}));
    const ChildEnd end = pycdsctl(
        {"--socket", directory / "socket", "run", "sh", "-c", "echo ${LD_AUDIT-none}; exit 9"});
    EXPECT_EQ(end.status, 9);
    EXPECT_EQ(end.output, "none\n");
    EXPECT_THAT(end.errors, HasSubstr("a request that is unknown"));
}

}  // namespace
}  // namespace pycds::ctl
