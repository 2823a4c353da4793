// Killing children that do not end at once, without waiting for them.
#include "daemon/build/reaper.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "daemon/ipc/asio_loop.h"

namespace pycds::build {
namespace {

using namespace std::chrono_literals;

SpawnedProcess sleeper() {
    SpawnedProcess out;
    out.pid = fork();
    if (out.pid == 0) {
        setsid();
        for (;;) pause();
    }
    out.pid_fd.reset(static_cast<int>(syscall(SYS_pidfd_open, out.pid, 0)));
    return out;
}

TEST(Reaper, LeavesNoZombies) {
    ipc::AsioLoop loop;
    Reaper reaper(loop);
    pid_t pids[3];
    for (pid_t& pid : pids) {
        SpawnedProcess process = sleeper();
        pid = process.pid;
        reaper.take(std::move(process));
    }
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (reaper.size() != 0 && std::chrono::steady_clock::now() < end) {
        loop.context().run_one_for(100ms);
    }
    EXPECT_EQ(reaper.size(), 0u);
    for (const pid_t pid : pids) {
        EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1);
        EXPECT_EQ(errno, ECHILD);
    }
}

TEST(Reaper, TakesWhatHasEndedAlready) {
    ipc::AsioLoop loop;
    Reaper reaper(loop);
    SpawnedProcess process = sleeper();
    const pid_t pid = process.pid;
    kill(pid, SIGKILL);
    siginfo_t info{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
    reaper.take(std::move(process));
    EXPECT_EQ(reaper.size(), 0u);
    EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1);
}

}  // namespace
}  // namespace pycds::build
