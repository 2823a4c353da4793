// Images that nobody asked for, with interpreters, planner and builder that the test plays.
#include "daemon/core/discovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "src/common/image/format.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_launcher.h"
#include "tests/fakes/fake_loop.h"
#include "tests/fakes/fake_policy.h"
#include "tests/fakes/fake_worker.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::core {
namespace {

using namespace std::string_literals;

const std::string kPlan1 = "fingerprint 00000000000000a1\0/system/a.py\0/system/p/b.py\0"s;
const std::string kPlan2 = "fingerprint 00000000000000a2\0/system/a.py\0/system/q/c.py\0"s;

class FakeFinder final : public InterpreterFinder {
  public:
    std::vector<std::string> find(const std::vector<std::string>& configured) const override {
        std::vector<std::string> out = there;
        out.insert(out.end(), configured.begin(), configured.end());
        return out;
    }
    std::vector<std::string> directories() const override { return {"/usr/bin"}; }
    std::vector<std::string> there{"/usr/bin/python3.11"};
};

class FakeWatcher final : public DirectoryWatcher {
  public:
    bool watch(const std::vector<std::string>& wanted) override {
        return std::exchange(directories, wanted) != wanted;
    }
    std::vector<std::string> directories;
};

class DiscoveryTest : public testing::Test {
  protected:
    DiscoveryTest() {
        DiscoveryOptions options;
        options.image_budget = 400;
        discovery_.set_options(options);
        discovery_.set_watcher(&watcher_);
    }

    void look() {
        discovery_.look();
        worker_.run_all();
    }

    void plan(const std::string& output) {
        launcher_.planner_exits_with(output);
        worker_.run_all();
    }

    void build(uint8_t identity) {
        const BuilderJob& job = launcher_.started.back().job;
        fakes::TinyImageOptions options;
        options.generation = job.generation;
        options.identity = fakes::tiny_identity(identity);
        options.paths = {"/system/a.py"};
        options.left_out.clear();
        launcher_.exit_with(fakes::make_tiny_image(options));
        worker_.run_all();
    }

    // From the first look to the one that finds everything as it was.
    void build_all() {
        look();
        plan(kPlan1);
        build(1);
        plan(kPlan1);
        ASSERT_TRUE(discovery_.is_idle());
    }

    std::vector<const StoredImage*> images() { return service_.images().all(); }

    fakes::FakeClock clock_;
    fakes::FakeLoop loop_;
    fakes::FakeWorker worker_;
    fakes::FakeLauncher launcher_;
    fakes::FakePolicy policy_{500};
    FakeFinder finder_;
    FakeWatcher watcher_;
    Service service_{{clock_, worker_, launcher_, policy_}, {}};
    Discovery discovery_{{clock_, loop_, worker_, launcher_, policy_, service_, finder_}, {}};
};

TEST_F(DiscoveryTest, MakesTheSystemImageOfAnInterpreter) {
    look();
    ASSERT_EQ(launcher_.planners.size(), 1u);
    EXPECT_EQ(launcher_.planners[0].job.python, "/usr/bin/python3.11");
    EXPECT_EQ(launcher_.planners[0].job.max_pyc_bytes, 100u);
    plan(kPlan1);
    ASSERT_EQ(launcher_.started.size(), 1u);
    EXPECT_EQ(launcher_.started[0].job.plan, "/system/a.py\0/system/p/b.py\0"s);
    EXPECT_TRUE(launcher_.started[0].job.in_background);
    EXPECT_EQ(launcher_.started[0].job.domain, wire::Domain::kSystem);
    build(1);
    ASSERT_EQ(images().size(), 1u);
    EXPECT_EQ(images()[0]->origin.fingerprint, 0xa1u);
}

TEST_F(DiscoveryTest, LooksOnceMoreAfterItBeganToWatch) {
    look();
    plan(kPlan1);
    build(1);
    EXPECT_EQ(watcher_.directories,
              (std::vector<std::string>{"/system", "/system/__pycache__", "/system/p",
                                        "/system/p/__pycache__", "/usr/bin"}));
    ASSERT_EQ(launcher_.planners.size(), 2u)
        << "what changed between the first look and the watch would be missed";
    plan(kPlan1);
    EXPECT_TRUE(discovery_.is_idle());
    EXPECT_EQ(launcher_.started.size(), 1u) << "the image is made of the same files";
}

TEST_F(DiscoveryTest, WatchesWhereSomethingMayCome) {
    look();
    plan("fingerprint 00000000000000a1\0directory /empty\0directory /system\0/system/a.py\0"s);
    EXPECT_EQ(launcher_.started.at(0).job.plan, "/system/a.py\0"s);
    build(1);
    EXPECT_EQ(watcher_.directories,
              (std::vector<std::string>{"/empty", "/empty/__pycache__", "/system",
                                        "/system/__pycache__", "/usr/bin"}));
}

TEST_F(DiscoveryTest, ChangesAreGatheredAndThenLookedAt) {
    build_all();
    clock_.now_ms += 100'000;
    for (int i = 0; i < 5; ++i) discovery_.on_change();
    EXPECT_EQ(loop_.waiting_ms(), 2000);
    clock_.now_ms += 14'000;
    discovery_.on_change();
    EXPECT_EQ(loop_.waiting_ms(), 1000) << "no later than the patience after the first";
    loop_.expire();
    worker_.run_all();
    ASSERT_EQ(launcher_.planners.size(), 3u);
    plan(kPlan2);
    build(1);
    plan(kPlan2);
    ASSERT_EQ(images().size(), 1u);
    EXPECT_EQ(images()[0]->origin.fingerprint, 0xa2u);
    EXPECT_EQ(images()[0]->info.id, "img-2");
    EXPECT_TRUE(discovery_.is_idle());
}

TEST_F(DiscoveryTest, ConstantChangeIsLookedAtNowAndThen) {
    build_all();
    clock_.now_ms += 1000;
    discovery_.on_change();
    EXPECT_EQ(loop_.waiting_ms(), 14'000) << "the patience after the last look";
}

TEST_F(DiscoveryTest, WhatChangesDuringALookIsSeenByTheNext) {
    look();
    discovery_.on_change();
    plan(kPlan1);
    build(1);
    // The watch is new, and that is looked at first.
    plan(kPlan1);
    EXPECT_TRUE(discovery_.is_idle());
    discovery_.look();
    worker_.run_all();
    discovery_.on_change();
    plan(kPlan1);
    EXPECT_FALSE(discovery_.is_idle()) << "a timer waits";
}

TEST_F(DiscoveryTest, AnUpgradedInterpreterGetsAnImageAndTheOldOneGoes) {
    build_all();
    look();
    plan(kPlan2);
    build(2);
    plan(kPlan2);
    ASSERT_EQ(images().size(), 1u);
    EXPECT_EQ(images()[0]->info.id, "img-2");
}

TEST_F(DiscoveryTest, ImagesOfAnInterpreterThatIsGoneGo) {
    build_all();
    finder_.there = {};
    look();
    EXPECT_TRUE(images().empty());
    EXPECT_TRUE(discovery_.is_idle());
}

TEST_F(DiscoveryTest, WhatSomebodyAskedForStays) {
    std::vector<NewImage> asked(1);
    asked[0].info.id = "img-77";
    asked[0].info.domain = wire::Domain::kSystem;
    asked[0].info.identity[0] = 9;
    asked[0].info.size = 4096;
    ASSERT_TRUE(service_.images().publish(std::move(asked), 1).ok());
    finder_.there = {};
    look();
    EXPECT_EQ(images().size(), 1u);
}

TEST_F(DiscoveryTest, ARestoredImageOfTheSameFilesIsNotMadeAgain) {
    build_all();
    const Origin origin = images()[0]->origin;
    Service other({clock_, worker_, launcher_, policy_}, {});
    std::vector<NewImage> kept(1);
    kept[0].info = images()[0]->info;
    kept[0].origin = origin;
    ASSERT_TRUE(other.images().restore(std::move(kept[0]), nullptr).ok());
    DiscoveryOptions options;
    Discovery again({clock_, loop_, worker_, launcher_, policy_, other, finder_}, options);
    again.look();
    worker_.run_all();
    plan(kPlan1);
    EXPECT_TRUE(again.is_idle());
    EXPECT_EQ(launcher_.started.size(), 1u);
    EXPECT_EQ(other.images().size(), 1u);
}

TEST_F(DiscoveryTest, OneThatFailsDoesNotKeepTheOthersFromTheirs) {
    finder_.there = {"/usr/bin/python3.11", "/usr/bin/python3.12", "/refused/python3.13"};
    look();
    launcher_.planner_exits_with(Error{ErrorCode::kBuildFailed, "no planner here"});
    ASSERT_EQ(launcher_.planners.size(), 2u);
    EXPECT_EQ(launcher_.planners[1].job.python, "/usr/bin/python3.12");
    plan(kPlan1);
    launcher_.exit_with(Error{ErrorCode::kNotFound, "no client for this interpreter"});
    worker_.run_all();
    for (const auto& planner : launcher_.planners) {
        EXPECT_FALSE(planner.job.python.starts_with("/refused/"))
            << "an interpreter that others can change is not even run";
    }
    EXPECT_EQ(launcher_.planners.size(), 3u) << "the third is the second look";
}

TEST_F(DiscoveryTest, WhatFailedIsTriedAgainWhenSomethingChangedOrSomebodyAsks) {
    look();
    plan(kPlan1);
    launcher_.exit_with(Error{ErrorCode::kBuildFailed, "it crashed"});
    worker_.run_all();
    plan(kPlan1);
    EXPECT_EQ(launcher_.started.size(), 1u) << "the same files would fail again";
    look();
    plan(kPlan1);
    EXPECT_EQ(launcher_.started.size(), 2u);
}

TEST_F(DiscoveryTest, WhatMayWorkLaterIsTriedAgainByItself) {
    look();
    plan(kPlan1);
    launcher_.exit_with(Error{ErrorCode::kBuildFailed, "killed: no memory"});
    worker_.run_all();
    plan(kPlan1);
    ASSERT_TRUE(discovery_.is_idle());
    EXPECT_EQ(loop_.waiting_ms(), 300'000);

    clock_.now_ms += 100'000;
    discovery_.on_change();
    loop_.expire_next();
    ASSERT_FALSE(discovery_.is_idle());
    worker_.run_all();
    plan(kPlan1);
    EXPECT_EQ(launcher_.started.size(), 1u) << "the same files would fail again";
    EXPECT_EQ(loop_.waiting_ms(), 200'000) << "not put off";

    clock_.now_ms += 200'000;
    loop_.expire();
    worker_.run_all();
    plan(kPlan1);
    ASSERT_EQ(launcher_.started.size(), 2u);
    launcher_.exit_with(Error{ErrorCode::kUnavailable, "no room"});
    worker_.run_all();
    EXPECT_EQ(loop_.waiting_ms(), 600'000);

    clock_.now_ms += 600'000;
    loop_.expire();
    worker_.run_all();
    plan(kPlan1);
    build(1);
    EXPECT_EQ(images().size(), 1u);
    EXPECT_TRUE(discovery_.is_idle());
    EXPECT_EQ(loop_.waiting_ms(), -1) << "an idle daemon is idle";
}

TEST_F(DiscoveryTest, WhatNeverWorksIsNotTriedAgain) {
    look();
    plan(kPlan1);
    launcher_.exit_with(Error{ErrorCode::kNotFound, "no client for this interpreter"});
    worker_.run_all();
    plan(kPlan1);
    ASSERT_TRUE(discovery_.is_idle());
    EXPECT_EQ(loop_.waiting_ms(), -1);
}

TEST_F(DiscoveryTest, TheSecondOfOneBuildIsBuiltWhenTheFirstIsGone) {
    finder_.there = {"/usr/bin/python3.11", "/usr/local/bin/python3.11"};
    look();
    plan(kPlan1);
    build(1);
    plan(kPlan2);
    build(1);
    plan(kPlan1);
    plan(kPlan2);
    ASSERT_TRUE(discovery_.is_idle());
    ASSERT_EQ(images().size(), 1u);
    ASSERT_EQ(launcher_.started.size(), 2u);
    finder_.there = {"/usr/local/bin/python3.11"};
    clock_.now_ms += 100'000;
    discovery_.on_change();
    loop_.expire();
    worker_.run_all();
    plan(kPlan2);
    ASSERT_EQ(launcher_.started.size(), 3u);
    build(1);
    ASSERT_EQ(images().size(), 1u);
    EXPECT_EQ(images()[0]->origin.fingerprint, 0xa2u);
}

TEST_F(DiscoveryTest, APlanThatIsNoneBuildsNothing) {
    for (const std::string& output :
         {""s, "\0"s, "/system/a.py\0"s, "fingerprint xyz\0/system/a.py\0"s,
          "fingerprint 00000000000000a1\0"s, "fingerprint 00000000000000a1\0directory /system\0"s,
          "fingerprint 00000000000000a1\0/system/a.py"s}) {
        look();
        plan(output);
        EXPECT_TRUE(launcher_.started.empty()) << output;
        while (!discovery_.is_idle()) plan(output);
    }
}

TEST_F(DiscoveryTest, SwitchedOffItDoesNothing) {
    DiscoveryOptions options;
    options.enabled = false;
    discovery_.set_options(options);
    look();
    discovery_.on_change();
    EXPECT_TRUE(discovery_.is_idle());
    EXPECT_TRUE(launcher_.planners.empty());
}

TEST_F(DiscoveryTest, ConfiguredInterpretersToo) {
    DiscoveryOptions options;
    options.interpreters = {"/opt/python/bin/python3"};
    discovery_.set_options(options);
    look();
    plan(kPlan1);
    build(1);
    ASSERT_EQ(launcher_.planners.size(), 2u);
    EXPECT_EQ(launcher_.planners[1].job.python, "/opt/python/bin/python3");
    plan(kPlan2);
    build(2);
    const std::vector<std::string>& watched = watcher_.directories;
    EXPECT_EQ(std::count(watched.begin(), watched.end(), "/opt/python/bin"), 1)
        << "an upgrade shows there";
}

}  // namespace
}  // namespace pycds::core
