#include "ctl/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "src/common/os/sealed_memfd.h"
#include "support.h"

namespace pycds::ctl {
namespace {

Result<ChildEnd> shell(const std::string& script) {
    return run_child({"/bin/sh", {"-c", script}, {}});
}

TEST(Child, GivesBothOutputsAndTheStatus) {
    Result<ChildEnd> end = shell("echo out; echo err >&2; exit 9");
    ASSERT_TRUE(end);
    EXPECT_EQ(end->output, "out\n");
    EXPECT_EQ(end->errors, "err\n");
    EXPECT_EQ(end->status, 9);
    EXPECT_EQ(end->signal, 0);
}

TEST(Child, SaysWhichSignalKilledIt) {
    Result<ChildEnd> end = shell("kill -9 $$");
    ASSERT_TRUE(end);
    EXPECT_EQ(end->signal, 9);
}

TEST(Child, DoesNotWaitForGrandchildren) {
    Result<ChildEnd> end = shell("sleep 20 & echo done");
    ASSERT_TRUE(end);
    EXPECT_EQ(end->output, "done\n");
}

TEST(Child, VariablesReplaceTheCallers) {
    const ScopedVariable variable("PYCDS_CHILD_TEST", "before");
    Result<ChildEnd> end =
        run_child({"/bin/sh", {"-c", "echo $PYCDS_CHILD_TEST"}, {"PYCDS_CHILD_TEST=after"}});
    ASSERT_TRUE(end);
    EXPECT_EQ(end->output, "after\n");
}

TEST(Child, StandardInputIsEmpty) {
    Result<ChildEnd> end = shell("cat; echo read");
    ASSERT_TRUE(end);
    EXPECT_EQ(end->output, "read\n");
}

TEST(Child, PassesADescriptorUnderOneNumber) {
    if (!fs::exists("/proc/self/fd")) GTEST_SKIP() << "/proc is not mounted";
    Result<UniqueFd> fd = create_memfd("test");
    ASSERT_TRUE(fd);
    ChildSpec spec{
        "/bin/sh", {"-c", "echo hello >&3; ls -l /proc/self/fd | grep -c memfd:test"}, {}};
    spec.descriptor = fd->get();
    Result<ChildEnd> end = run_child(spec);
    ASSERT_TRUE(end);
    EXPECT_EQ(regular_file_size(fd->get()), 6);
    EXPECT_EQ(end->output, "1\n");
}

TEST(Child, TicksWhileItRuns) {
    int ticks = 0;
    ChildSpec spec{"/bin/sh", {"-c", "sleep 0.5"}, {}};
    ASSERT_TRUE(run_child(spec, [&ticks] { ++ticks; }));
    EXPECT_GE(ticks, 1);
}

TEST(Child, WhatCannotBeRunIsAnError) {
    EXPECT_EQ(run_child({"/nowhere/program", {}, {}}).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(run_child({"/etc/passwd", {}, {}}).error().code, ErrorCode::kPermissionDenied);
}

TEST(LastLine, SkipsEmptyLines) {
    EXPECT_EQ(last_line("one\ntwo  \n\n"), "two");
    EXPECT_EQ(last_line("one"), "one");
    EXPECT_EQ(last_line(" \n\n"), "");
    EXPECT_EQ(last_line(""), "");
}

}  // namespace
}  // namespace pycds::ctl
