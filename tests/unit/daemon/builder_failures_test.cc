// Builders that misbehave, run by the real daemon: each way to fail has one line that says what
// happened, and nothing of the builder stays behind.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/unit/daemon/daemon_process.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::test {
namespace {

class BuilderTest : public testing::Test {
  protected:
    // Asks for a build and returns the error that it ends with.
    Error failure(const std::string& python = TEST_PYTHON) {
        TestClient client(daemon_.socket());
        const UniqueFd plan = make_plan({"/etc/passwd"});
        EXPECT_TRUE(client.send(wire::BuildRequest{python, 0}, {plan.get()}));
        const std::optional<Answer> answer = client.receive_last();
        if (!answer || answer->as<Error>() == nullptr) {
            ADD_FAILURE() << "the build did not fail";
            return {};
        }
        EXPECT_NE(daemon_.log().find("failed: " + answer->as<Error>()->message), std::string::npos);
        return *answer->as<Error>();
    }

    DaemonProcess daemon_;
};

TEST_F(BuilderTest, AnInterpreterThatIsNotThere) {
    ASSERT_TRUE(daemon_.start());
    EXPECT_EQ(failure("/nowhere/python3").message, "no such interpreter: /nowhere/python3");
    EXPECT_EQ(failure("python3").message, "no such interpreter: python3");
    EXPECT_EQ(failure("/etc").message, "no such interpreter: /etc");
    EXPECT_EQ(failure("/etc/passwd").message, "no such interpreter: /etc/passwd");
    EXPECT_EQ(failure("").code, ErrorCode::kNotFound);
}

TEST_F(BuilderTest, AnInterpreterWithoutAClient) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("sys.exit(3)");
    const Error error = failure();
    EXPECT_EQ(error.code, ErrorCode::kNotFound);
    EXPECT_EQ(error.message, "no client for this interpreter: " TEST_PYTHON);
}

TEST_F(BuilderTest, OneThatSaysWhy) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("report('error first'); report('error disk\\x1b[31m full'); sys.exit(1)");
    const Error error = failure();
    EXPECT_EQ(error.code, ErrorCode::kBuildFailed);
    EXPECT_EQ(error.message, "the builder failed: disk\\x1b[31m full");
}

TEST_F(BuilderTest, OneThatDiesOfAnException) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("print('x' * 1000000, file=sys.stderr); raise ValueError('no such thing')");
    EXPECT_EQ(failure().message,
              "the builder failed with exit status 1: ValueError: no such thing");
    daemon_.set_builder("os._exit(7)");
    EXPECT_EQ(failure().message, "the builder failed with exit status 7, without a word");
}

TEST_F(BuilderTest, OneThatIsKilled) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("import ctypes; ctypes.string_at(1)");
    EXPECT_EQ(failure().message, "the builder was killed by signal 11 (SIGSEGV)");
}

TEST_F(BuilderTest, OneThatIsKilledByASource) {
    ASSERT_TRUE(daemon_.start());
    const std::string crash = "; import ctypes; ctypes.string_at(1)";
    const auto at = [&](const std::string& place) {
        daemon_.set_builder("os.write(OUT, (" + place + ").to_bytes(8, 'little'))" + crash);
        return failure().message;
    };
    const std::string killed = "the builder was killed by signal 11 (SIGSEGV)";
    EXPECT_EQ(at("1"), killed + " while it read the .pyc of /etc/passwd");
    // What it says is not believed.
    for (const char* place : {"0", "2", "12", "13", "1 << 40", "(1 << 64) - 1"}) {
        EXPECT_EQ(at(place), killed) << place;
    }
}

TEST_F(BuilderTest, OneThatWritesNothingOrGarbage) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("pass");
    EXPECT_EQ(failure().message, "the builder wrote no image");
    daemon_.set_builder("os.write(OUT, b'x' * 100000)");
    EXPECT_TRUE(failure().message.starts_with("the builder made an image that is not valid: "));
}

TEST_F(BuilderTest, OneThatNeverEnds) {
    ASSERT_TRUE(daemon_.start({{"--build-deadline", "1"}, {}, -1, true}));
    daemon_.set_builder("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)");
    EXPECT_EQ(failure().message, "the builder exceeded its deadline of 1 s");
    EXPECT_TRUE(daemon_.children().empty());
}

TEST_F(BuilderTest, OneThatTakesTooMuchMemory) {
    ASSERT_TRUE(daemon_.start({{"--build-memory", "256"}, {}, -1, true}));
    daemon_.set_builder("x = bytearray(1 << 30)");
    EXPECT_EQ(failure().message, "the builder failed with exit status 1: MemoryError");
}

TEST_F(BuilderTest, OneWhoseOutputIsOverBudget) {
    ASSERT_TRUE(daemon_.start({{"--image-budget", "1"}, {}, -1, true}));
    daemon_.set_builder("os.ftruncate(OUT, 2 << 20)");
    EXPECT_EQ(failure().message,
              "the builder failed with exit status 1: OSError: [Errno 27] File too large");
}

TEST_F(BuilderTest, OneThatReportsWithoutEnd) {
    ASSERT_TRUE(daemon_.start({{"--build-deadline", "2"}, {}, -1, true}));
    daemon_.set_builder("while True: report('progress 1 1' * 100)");
    TestClient other(daemon_.socket());
    EXPECT_TRUE(failure().message.starts_with("the builder exceeded its deadline of 2 s"));
    ASSERT_TRUE(other.send(wire::StatusRequest{}));
    EXPECT_TRUE(other.receive()) << "others are served meanwhile";
}

TEST_F(BuilderTest, ItGetsNothingButWhatItNeeds) {
    ASSERT_TRUE(daemon_.start({{}, {"SECRET=1"}, -1, true}));
    daemon_.set_builder(
        "fds = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))\n"
        "fds = [fd for fd in fds if os.path.exists('/proc/self/fd/%d' % fd)]\n"
        "plan = os.read(PLAN, 100)[:-1]\n"
        "say(repr((fds, sorted(os.environ.items()), os.getcwd(), os.getsid(0) == "
        "os.getpid(), os.read(0, 1), plan, sys.flags.isolated, sys.flags.no_site, "
        "signal.pthread_sigmask(signal.SIG_BLOCK, []))))");
    EXPECT_EQ(
        failure().message,
        "the builder failed: ([0, 1, 2, 3, 4, 5, 6], [('HOME', '/'), ('LANG', 'C.UTF-8'), ('PATH', "
        "'/usr/local/bin:/usr/bin:/bin')], '/', True, b'', b'/etc/passwd', 1, 1, "
        "set())");
}

TEST_F(BuilderTest, ItGoesBeforeTheDaemonWhenMemoryRunsOut) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("say(open('/proc/self/oom_score_adj').read())");
    EXPECT_EQ(failure().message, "the builder failed: 500");
}

class RunningBuilderTest : public BuilderTest {
  protected:
    // A build that is under way.
    void SetUp() override {
        ASSERT_TRUE(daemon_.start());
        daemon_.set_builder("report('progress 1 1'); time.sleep(1000)");
        client_ = std::make_unique<TestClient>(daemon_.socket());
        const UniqueFd plan = make_plan({"/etc/passwd"});
        ASSERT_TRUE(client_->send(wire::BuildRequest{TEST_PYTHON, 0}, {plan.get()}));
        const std::optional<Answer> progress = client_->receive();
        ASSERT_TRUE(progress && progress->as<wire::BuildProgress>() != nullptr);
        const std::vector<pid_t> children = daemon_.children();
        ASSERT_EQ(children.size(), 1u);
        builder_ = children[0];
    }

    std::unique_ptr<TestClient> client_;
    pid_t builder_ = 0;
};

TEST_F(RunningBuilderTest, IsKilledWhenItsPeerGoes) {
    client_->close();
    EXPECT_TRUE(wait_for_end(builder_));
    // And the queue is free again.
    daemon_.set_builder("report('error next'); sys.exit(1)");
    EXPECT_EQ(failure().message, "the builder failed: next");
}

TEST_F(RunningBuilderTest, IsKilledWhenTheDaemonStops) {
    EXPECT_EQ(daemon_.stop(SIGTERM), 0);
    EXPECT_NE(daemon_.log().find("build 1 cancelled: the daemon is stopping\n"), std::string::npos);
    EXPECT_TRUE(wait_for_end(builder_));
    EXPECT_TRUE(client_->wait_for_close());
}

TEST_F(RunningBuilderTest, IsKilledWhenTheDaemonIs) {
    EXPECT_EQ(daemon_.stop(SIGKILL), -SIGKILL);
    EXPECT_TRUE(wait_for_end(builder_));
}

TEST_F(RunningBuilderTest, MayBeKilledByOthers) {
    ASSERT_EQ(kill(builder_, SIGKILL), 0);
    const std::optional<Answer> answer = client_->receive_last();
    ASSERT_TRUE(answer && answer->as<Error>() != nullptr);
    EXPECT_EQ(answer->as<Error>()->message, "the builder was killed by signal 9 (SIGKILL)");
}

TEST_F(RunningBuilderTest, DoesNotKeepOthersWaiting) {
    TestClient other(daemon_.socket());
    ASSERT_TRUE(other.send(wire::StatusRequest{}));
    const std::optional<Answer> status = other.receive();
    ASSERT_TRUE(status && status->as<wire::StatusReply>() != nullptr);
    EXPECT_EQ(status->as<wire::StatusReply>()->builds_running, 1u);
    EXPECT_EQ(status->as<wire::StatusReply>()->connections, 2u);
}

}  // namespace
}  // namespace pycds::test
