#include "daemon/core/plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "src/common/os/sealed_memfd.h"

namespace pycds::core {
namespace {

using namespace std::string_literals;

UniqueFd plan_of(const std::string& bytes) {
    Result<UniqueFd> fd = create_memfd("plan");
    EXPECT_TRUE(fd.ok());
    EXPECT_EQ(write(fd->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return std::move(*fd);
}

std::string error_of(const std::string& bytes) {
    const UniqueFd fd = plan_of(bytes);
    const Result<std::vector<std::string>> paths = read_plan(fd.get());
    EXPECT_FALSE(paths.ok());
    return paths ? "" : paths.error().message;
}

TEST(Plan, HoldsPathsThatMayHoldAnythingButNul) {
    const UniqueFd fd = plan_of("/a.py\0/b c\n\xff.py\0"s);
    const Result<std::vector<std::string>> paths = read_plan(fd.get());
    ASSERT_TRUE(paths.ok());
    EXPECT_EQ(*paths, (std::vector<std::string>{"/a.py", "/b c\n\xff.py"}));
}

TEST(Plan, ThatIsMalformedIsRefused) {
    EXPECT_EQ(error_of(""), "the plan names no source file");
    EXPECT_EQ(error_of("/a.py"), "the last path of the plan does not end with a NUL");
    EXPECT_EQ(error_of("/a.py\0\0"s), "the plan holds an empty path");
}

TEST(Plan, HasLimits) {
    std::string many;
    for (size_t i = 0; i <= kMaxPlanEntries; ++i) many += "/\0"s;
    EXPECT_EQ(error_of(many), "the plan names 200001 source files, the limit is 200000");
    const UniqueFd large = plan_of("x");
    ASSERT_EQ(ftruncate(large.get(), static_cast<off_t>(kMaxPlanBytes) + 1), 0);
    EXPECT_FALSE(check_plan_fd(large.get()).ok());
}

TEST(Plan, IsAFileThatCanBeRead) {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    const UniqueFd read_end(fds[0]);
    const UniqueFd write_end(fds[1]);
    EXPECT_EQ(check_plan_fd(read_end.get()).error().message,
              "the plan is not a regular file or memfd");
    const UniqueFd path_only(open("/etc/passwd", O_PATH | O_CLOEXEC));
    EXPECT_FALSE(read_plan(path_only.get()).ok());
}

TEST(Plan, IsSplitByDomain) {
    using wire::Domain;
    const SplitPlan split =
        split_plan({"/s1", "/u1", "/n1", "/s2"},
                   {Domain::kSystem, Domain::kUser, Domain::kUnspecified, Domain::kSystem}, 7);
    ASSERT_EQ(split.parts.size(), 2u);
    EXPECT_EQ(split.parts[0].slot, 0u);
    EXPECT_EQ(split.parts[0].domain, Domain::kSystem);
    EXPECT_EQ(split.parts[0].entries, "/s1\0/s2\0"s) << "no path of a refused one";
    EXPECT_EQ(split.parts[0].count, 2u);
    EXPECT_EQ(split.parts[1].slot, 1u);
    EXPECT_EQ(split.parts[1].domain, Domain::kUser);
    EXPECT_EQ(split.parts[1].domain_uid, 7u);
    EXPECT_EQ(split.parts[1].entries, "/u1\0"s);
    EXPECT_EQ(split.refused, 1u);
}

TEST(Plan, APartWithNothingToBuildIsNotMade) {
    using wire::Domain;
    const SplitPlan nothing = split_plan({"/n"}, {Domain::kUnspecified}, 7);
    EXPECT_TRUE(nothing.parts.empty());
    EXPECT_EQ(nothing.refused, 1u);
    const SplitPlan user = split_plan({"/n", "/u"}, {Domain::kUnspecified, Domain::kUser}, 7);
    ASSERT_EQ(user.parts.size(), 1u);
    EXPECT_EQ(user.parts[0].entries, "/u\0"s);
}

}  // namespace
}  // namespace pycds::core
