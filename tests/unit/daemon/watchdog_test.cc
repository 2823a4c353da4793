// Signs of life for the service manager.
#include "daemon/sys/watchdog.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include "daemon/ipc/asio_loop.h"
#include "tests/unit/daemon/daemon_process.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::test {
namespace {

using namespace std::chrono_literals;

DaemonProcess::Start with_watchdog(const char* usec) {
    return {{}, {std::string("WATCHDOG_USEC=") + usec}, -1, true};
}

// How often all threads of a process have gone to sleep.
uint64_t sleeps(pid_t pid) {
    uint64_t out = 0;
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        const std::string status = read_file(task.path() / "status");
        const size_t at = status.find("\nvoluntary_ctxt_switches:");
        if (at != std::string::npos) out += std::strtoull(&status[at + 25], nullptr, 10);
    }
    return out;
}

TEST(WatchdogOfTheDaemon, IsFedAsLongAsItLives) {
    DaemonProcess daemon;
    ASSERT_TRUE(daemon.start(with_watchdog("400000")));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(daemon.next_notification(), "WATCHDOG=1");

    ASSERT_EQ(kill(daemon.pid(), SIGSTOP), 0);
    while (daemon.notified_within(600ms)) daemon.next_notification();
    EXPECT_FALSE(daemon.notified_within(800ms)) << "stopped, it does not say that it lives";
    ASSERT_EQ(kill(daemon.pid(), SIGCONT), 0);
    EXPECT_EQ(daemon.next_notification(), "WATCHDOG=1");
    ASSERT_EQ(kill(daemon.pid(), SIGTERM), 0);
    EXPECT_EQ(daemon.wait(), 0);
}

TEST(WatchdogOfTheDaemon, WakesItNoMoreThanTwiceAnInterval) {
    DaemonProcess daemon;
    ASSERT_TRUE(daemon.start(with_watchdog("1000000")));
    EXPECT_EQ(daemon.next_notification(), "WATCHDOG=1");
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(daemon.next_notification(), "WATCHDOG=1");
    EXPECT_EQ(daemon.next_notification(), "WATCHDOG=1");
    EXPECT_GE(std::chrono::steady_clock::now() - start, 900ms);
}

TEST(WatchdogOfTheDaemon, WithoutOneAnIdleDaemonSleeps) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "ThreadSanitizer has a thread of its own that wakes ten times a second";
#endif
    DaemonProcess daemon;
    ASSERT_TRUE(daemon.start());
    uint64_t before = sleeps(daemon.pid());
    // What is left of its start: until nothing moves.
    for (int i = 0; i < 100; ++i) {
        EXPECT_FALSE(daemon.notified_within(100ms));
        const uint64_t now = sleeps(daemon.pid());
        if (now == before) break;
        before = now;
    }
    EXPECT_FALSE(daemon.notified_within(1000ms));
    EXPECT_EQ(sleeps(daemon.pid()), before);
}

// With an interval of another process's: sd_watchdog_enabled(3).
TEST(WatchdogOfTheDaemon, IsNotThatOfItsParent) {
    DaemonProcess daemon;
    ASSERT_TRUE(daemon.start({{}, {"WATCHDOG_USEC=20000", "WATCHDOG_PID=1"}, -1, true}));
    EXPECT_FALSE(daemon.notified_within(300ms));
}

TEST(Watchdog, IsSilentWhileTheWorkerHangs) {
    int hold[2];
    ASSERT_EQ(pipe(hold), 0);
    ipc::AsioLoop loop;
    int alive = 0;
    int alive_before_release = -1;
    int alive_at_release = -1;
    const auto hang = [&] {
        loop.post(
            [&] {
                char byte = 0;
                EXPECT_EQ(read(hold[0], &byte, 1), 1);
            },
            [] {});
        alive_before_release = alive;
    };
    const sys::Watchdog watchdog(loop, loop, 20ms, [&] {
        ++alive;
        if (alive == 3) hang();
        if (alive == 4) loop.stop();
    });
    // Many intervals of the watchdog: the loop is well, the worker is not.
    const auto timer = loop.call_after(500ms, [&] {
        alive_at_release = alive;
        EXPECT_EQ(write(hold[1], "x", 1), 1);
    });
    loop.run();
    EXPECT_EQ(alive_before_release, 3);
    EXPECT_EQ(alive_at_release, 3) << "nothing while the worker hung";
    EXPECT_EQ(alive, 4) << "and again after that";
    close(hold[0]);
    close(hold[1]);
}

}  // namespace
}  // namespace pycds::test
