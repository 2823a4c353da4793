// A daemon that runs is told to read its configuration again.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "tests/unit/daemon/attach_request.h"
#include "tests/unit/daemon/daemon_process.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::test {
namespace {

uint64_t monotonic_usec() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<uint64_t>(now.tv_nsec) / 1000;
}

class ReloadTest : public testing::Test {
  protected:
    void configure(const std::string& text) const { write_file(daemon_.path("conf"), text); }

    bool start() { return daemon_.start({{"--config", daemon_.path("conf")}, {}, -1, true}); }

    // Tells it, and checks what the service manager hears. Returns the status that it ends with.
    std::string reload() {
        const uint64_t before = monotonic_usec();
        EXPECT_EQ(kill(daemon_.pid(), SIGHUP), 0);
        const std::string reloading = daemon_.next_notification();
        constexpr std::string_view kHead = "RELOADING=1\nMONOTONIC_USEC=";
        EXPECT_TRUE(reloading.starts_with(kHead)) << reloading;
        if (reloading.starts_with(kHead)) {
            const uint64_t when = std::strtoull(reloading.c_str() + kHead.size(), nullptr, 10);
            EXPECT_GE(when, before);
            EXPECT_LE(when, monotonic_usec());
        }
        const std::string ready = daemon_.next_notification();
        constexpr std::string_view kReady = "READY=1\nSTATUS=";
        EXPECT_TRUE(ready.starts_with(kReady)) << ready;
        return ready.substr(std::min(kReady.size(), ready.size()));
    }

    std::optional<Answer> build() {
        TestClient client(daemon_.socket());
        const UniqueFd plan = make_plan({"/etc/passwd"});
        EXPECT_TRUE(client.send(wire::BuildRequest{TEST_PYTHON, 0}, {plan.get()}));
        return client.receive_last();
    }

    std::string log_after(size_t position) const { return daemon_.log().substr(position); }

    DaemonProcess daemon_;
};

TEST_F(ReloadTest, TakesWhatChangedAndDropsNobody) {
    configure("build-deadline = 300\n");
    ASSERT_TRUE(start());
    TestClient client(daemon_.socket());
    ASSERT_TRUE(client.send(attach_request()));
    ASSERT_TRUE(client.receive());
    size_t position = daemon_.log().size();
    configure("build-deadline = 1\nverbose = true\n");
    EXPECT_EQ(reload(), "Listening on " + daemon_.socket());
    EXPECT_EQ(log_after(position),
              "configuration read: build-deadline = 1 (was 300), verbose = true (was false)\n");
    ASSERT_TRUE(client.send(attach_request()));
    EXPECT_TRUE(client.receive()) << "on the connection of before";

    daemon_.set_builder("time.sleep(600)");
    const std::optional<Answer> built = build();
    ASSERT_TRUE(built && built->as<Error>() != nullptr);
    EXPECT_EQ(built->as<Error>()->code, ErrorCode::kBuildFailed);

    TestClient garbage(daemon_.socket());
    ASSERT_TRUE(garbage.send_bytes("\xff\xff"));
    ASSERT_TRUE(garbage.wait_for_close());
    EXPECT_NE(daemon_.log().find("debug: connection of uid"), std::string::npos);

    position = daemon_.log().size();
    EXPECT_EQ(reload(), "Listening on " + daemon_.socket());
    EXPECT_EQ(log_after(position), "configuration read: nothing changed\n");
}

TEST_F(ReloadTest, ABuildGoesOn) {
    configure("");
    ASSERT_TRUE(start());
    daemon_.set_builder(
        "report('progress 0 1')\n"
        "while not os.path.exists(os.path.join(HERE, 'go')): time.sleep(0.01)\n"
        "report('error told to end'); sys.exit(1)");
    TestClient client(daemon_.socket());
    const UniqueFd plan = make_plan({"/etc/passwd"});
    ASSERT_TRUE(client.send(wire::BuildRequest{TEST_PYTHON, 0}, {plan.get()}));
    const std::optional<Answer> progress = client.receive();
    ASSERT_TRUE(progress && progress->as<wire::BuildProgress>() != nullptr);
    configure("build-deadline = 1\nbuild-memory = 64\n");
    reload();
    write_file(daemon_.path("client/go"), "");
    const std::optional<Answer> built = client.receive_last();
    ASSERT_TRUE(built && built->as<Error>() != nullptr);
    EXPECT_NE(built->as<Error>()->message.find("told to end"), std::string::npos)
        << built->as<Error>()->message;
}

TEST_F(ReloadTest, AMistakeChangesNothingAndIsSaid) {
    configure("verbose = false\n");
    ASSERT_TRUE(start());
    TestClient client(daemon_.socket());
    const size_t position = daemon_.log().size();
    configure("build-deadline = 1\nverbose = perhaps\n");
    const std::string mistake =
        daemon_.path("conf") + ":2: verbose is 'true' or 'false', not 'perhaps'";
    EXPECT_EQ(reload(),
              "Listening on " + daemon_.socket() + "; the configuration has a mistake: " + mistake);
    EXPECT_EQ(log_after(position),
              "error: the configuration stays as it was, because of a mistake: " + mistake + "\n");
    ASSERT_TRUE(client.send(wire::StatusRequest{}));
    EXPECT_TRUE(client.receive());

    ASSERT_EQ(unlink(daemon_.path("conf").c_str()), 0);
    EXPECT_NE(reload().find("cannot read " + daemon_.path("conf")), std::string::npos);
    configure("verbose = false\n");
    EXPECT_EQ(reload(), "Listening on " + daemon_.socket()) << "mended, and nothing is left of it";
    EXPECT_TRUE(daemon_.log().ends_with("configuration read: nothing changed\n"))
        << "build-deadline = 1 of the bad file was not taken";
}

TEST_F(ReloadTest, SaysWhatNeedsARestart) {
    configure("cache = none\n");
    ASSERT_TRUE(start());
    configure("cache = /var/cache/other\n");
    EXPECT_EQ(reload(), "Listening on " + daemon_.socket() +
                            "; only after a restart: cache = /var/cache/other (was none)");
    EXPECT_TRUE(daemon_.log().ends_with(
        "warning: only after a restart: cache = /var/cache/other (was none)\n"))
        << daemon_.log();
}

TEST_F(ReloadTest, OftenAndWhileClientsComeAndGo) {
    configure("");
    ASSERT_TRUE(start());
    for (int i = 0; i < 50; ++i) {
        TestClient client(daemon_.socket());
        ASSERT_TRUE(client.send(attach_request()));
        reload();
        ASSERT_TRUE(client.send(wire::StatusRequest{}));
        ASSERT_TRUE(client.receive() && client.receive());
    }
    EXPECT_EQ(daemon_.stop(SIGTERM), 0);
}

TEST_F(ReloadTest, ATerminalThatGoesTakesTheDaemonAlong) {
    UniqueFd terminal(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!terminal) GTEST_SKIP() << "no terminals here: is /dev/pts mounted?";
    ASSERT_TRUE(grantpt(terminal.get()) == 0 && unlockpt(terminal.get()) == 0);
    const std::string name = ptsname(terminal.get());
    // The first terminal that the leader of a session opens is that of the session.
    ASSERT_TRUE(daemon_.start(
        {{}, {}, -1, true, [&] { return setsid() > 0 && open(name.c_str(), O_RDWR) >= 0; }}));
    terminal.reset();
    EXPECT_EQ(daemon_.wait(), 0);
    EXPECT_TRUE(daemon_.log().ends_with("shutting down\n")) << daemon_.log();
}

TEST_F(ReloadTest, ClientsLeaveNothingInTheLog) {
    configure("");
    ASSERT_TRUE(start());
    const std::string before = daemon_.log();
    for (int i = 0; i < 20; ++i) {
        TestClient client(daemon_.socket());
        ASSERT_TRUE(client.send(attach_request()));
        ASSERT_TRUE(client.receive());
        TestClient silent(daemon_.socket());
        TestClient bad(daemon_.socket());
        ASSERT_TRUE(bad.send_bytes("\xff\xff"));
        ASSERT_TRUE(bad.wait_for_close());
    }
    EXPECT_EQ(daemon_.log(), before);
}

}  // namespace
}  // namespace pycds::test
