// The server in this process, on a real socket, with limits small enough to reach.
#include "daemon/ipc/server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <functional>
#include <thread>

#include "daemon/ipc/listener.h"
#include "daemon/sys/system_clock.h"
#include "src/common/base/log.h"
#include "src/common/image/format.h"
#include "src/common/os/fd_passing.h"
#include "tests/fakes/fake_launcher.h"
#include "tests/fakes/fake_policy.h"
#include "tests/fakes/tiny_image.h"
#include "tests/unit/daemon/attach_request.h"
#include "tests/unit/daemon/temp_dir.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::ipc {
namespace {

using test::attach_request;

using namespace std::chrono_literals;
using test::TestClient;

struct TestLimits {
    uint64_t connections;
    uint64_t connections_per_uid;
    std::chrono::milliseconds patience;
    core::Quota descriptors = core::QuotaLimits{}.descriptors;
    uint32_t requests_per_second = 1'000'000;
};

// A whole daemon but for the builder, which never ends unless the test says so.
class TestServer {
  public:
    explicit TestServer(TestLimits limits)
        : listener_(Listener::open({dir_ / "s.sock", 0600, 0700})),
          service_({clock_, loop_, launcher_, policy_}, options(limits)),
          server_(loop_, listener_->fd(), service_, ServerOptions{limits.patience, 500ms}) {
        server_.start();
        thread_ = std::thread([this] { loop_.run(); });
    }
    TestServer(const TestServer&) = delete;
    TestServer& operator=(const TestServer&) = delete;
    ~TestServer() {
        loop_.stop();
        thread_.join();
    }

    std::string socket() const { return dir_ / "s.sock"; }

    // For users of any uid.
    void open_to_all() {
        ASSERT_EQ(chmod((dir_ / ".").c_str(), 0755), 0);
        ASSERT_EQ(chmod(socket().c_str(), 0666), 0);
    }

    // Asks for a build of /system/a.py and plays the builder. False if it fails.
    bool publish() {
        TestClient client(socket());
        const UniqueFd plan = test::make_plan({"/system/a.py"});
        if (!client.send(wire::BuildRequest{"/usr/bin/python3", 0}, {plan.get()})) return false;
        exit_builder();
        const std::optional<test::Answer> answer = client.receive_last();
        return answer && answer->as<wire::BuildReply>() != nullptr;
    }

  private:
    static core::ServiceOptions options(const TestLimits& limits) {
        core::ServiceOptions out;
        out.daemon_uid = geteuid();
        out.quotas.descriptors = limits.descriptors;
        out.quotas.requests_per_second = limits.requests_per_second;
        out.quotas.connections = {limits.connections_per_uid, limits.connections};
        return out;
    }

    // Once it runs, on the thread of the loop.
    void exit_builder() {
        boost::asio::post(loop_.context(), [this] {
            if (launcher_.started.empty()) return exit_builder();
            fakes::TinyImageOptions options;
            options.generation = launcher_.started.back().job.generation;
            options.paths = {"/system/a.py"};
            options.left_out.clear();
            launcher_.exit_with(fakes::make_tiny_image(options));
        });
    }

    test::TempDir dir_;
    Result<Listener> listener_;
    sys::SystemClock clock_;
    fakes::FakeLauncher launcher_;
    fakes::FakePolicy policy_{geteuid()};
    AsioLoop loop_;
    core::Service service_;
    Server server_;
    std::thread thread_;
};

bool answers(TestClient& client) {
    return client.send(wire::StatusRequest{}) && client.receive().has_value();
}

TEST(Server, ClosesAConnectionThatAsksNothing) {
    TestServer server({16, 16, 200ms});
    TestClient silent(server.socket());
    EXPECT_TRUE(silent.wait_for_close());
    TestClient next(server.socket());
    EXPECT_TRUE(answers(next));
}

TEST(Server, KeepsAConnectionThatWaitsForItsBuild) {
    TestServer server({16, 16, 200ms});
    TestClient builder(server.socket());
    const UniqueFd plan = test::make_plan({"/system/a.py"});
    ASSERT_TRUE(builder.send(wire::BuildRequest{"/usr/bin/python3", 0}, {plan.get()}));
    // Longer than its patience, by the server's own measure.
    for (int i = 0; i < 3; ++i) {
        TestClient silent(server.socket());
        ASSERT_TRUE(silent.wait_for_close());
    }
    char byte = 0;
    EXPECT_EQ(recv(builder.fd(), &byte, 1, MSG_DONTWAIT), -1);
    EXPECT_EQ(errno, EAGAIN) << "neither closed nor answered";
}

TEST(Server, LimitsTheConnectionsOfAUid) {
    TestServer server({16, 2, 30s});
    TestClient first(server.socket());
    auto second = std::make_unique<TestClient>(server.socket());
    ASSERT_TRUE(answers(first));
    ASSERT_TRUE(answers(*second));
    TestClient third(server.socket());
    EXPECT_TRUE(third.wait_for_close());
    EXPECT_TRUE(answers(first));
    // A place becomes free.
    second.reset();
    for (int i = 0; i < 1000; ++i) {
        ASSERT_TRUE(first.send(wire::StatusRequest{}));
        const std::optional<test::Answer> status = first.receive();
        ASSERT_TRUE(status);
        if (status->as<wire::StatusReply>()->connections == 1) break;
    }
    TestClient fourth(server.socket());
    EXPECT_TRUE(answers(fourth));
}

TEST(Server, LimitsAllConnections) {
    TestServer server({1, 16, 30s});
    TestClient first(server.socket());
    ASSERT_TRUE(answers(first));
    TestClient second(server.socket());
    EXPECT_TRUE(second.wait_for_close());
}

TEST(Server, DropsAPeerThatDoesNotReadItsAnswers) {
    TestServer server({16, 16, 200ms});
    TestClient deaf(server.socket());
    const timeval short_time{0, 100'000};
    setsockopt(deaf.fd(), SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof short_time);
    // Until neither side takes more, or the server has had enough.
    for (int i = 0; i < 1'000'000; ++i) {
        if (!deaf.send(wire::StatusRequest{})) break;
    }
    TestClient other(server.socket());
    EXPECT_TRUE(answers(other)) << "others are served";
    // The answers that were sent are still there; then comes the end.
    char byte = 0;
    ssize_t n = 0;
    while ((n = recv(deaf.fd(), &byte, 1, 0)) > 0) {
    }
    EXPECT_TRUE(n == 0 || errno == ECONNRESET) << std::strerror(errno);
}

TEST(Server, DropsAPeerThatAsksTooFarAhead) {
    TestServer server({16, 16, 30s});
    TestClient client(server.socket());
    const UniqueFd plan = test::make_plan({"/system/a.py"});
    ASSERT_TRUE(client.send(wire::BuildRequest{"/usr/bin/python3", 0}, {plan.get()}));
    for (int i = 0; i < 5; ++i) client.send(wire::StatusRequest{});
    EXPECT_TRUE(client.wait_for_close());
}

TEST(Server, DropsAPeerThatAsksOnWithoutReadingItsDescriptors) {
    TestServer server({16, 16, 30s});
    ASSERT_TRUE(server.publish());
    TestClient client(server.socket());
    // One that reads may ask again and again.
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(client.send(attach_request()));
        const std::optional<test::Answer> answer = client.receive();
        ASSERT_TRUE(answer);
        ASSERT_EQ(answer->fds.size(), 1u);
    }
    for (int i = 0; i < 100 && client.send(attach_request()); ++i) {
    }
    // Nothing is read before it is over.
    pollfd hangup{client.fd(), 0, 0};
    ASSERT_EQ(poll(&hangup, 1, test::kDeadlineSeconds * 1000), 1);
    // The one answer that was sent is there still; then comes the end.
    int answers_sent = 0;
    char byte = 0;
    ssize_t n = 0;
    while ((n = recv(client.fd(), &byte, 1, 0)) > 0) ++answers_sent;
    EXPECT_TRUE(n == 0 || errno == ECONNRESET) << std::strerror(errno);
    EXPECT_LE(answers_sent, 1);
    // Answers without descriptors may wait.
    TestClient other(server.socket());
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(other.send(wire::StatusRequest{}));
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(other.receive());
}

TEST(Server, WhatIsNotReadStaysChargedWhenTheConnectionIsOver) {
    TestServer server({64, 64, 30s, {4, 64}});
    ASSERT_TRUE(server.publish());
    std::vector<std::unique_ptr<TestClient>> clients;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(std::make_unique<TestClient>(server.socket()));
        ASSERT_TRUE(clients.back()->send(attach_request()));
        // The connection is over for the server, not for the kernel.
        ASSERT_EQ(shutdown(clients.back()->fd(), SHUT_WR), 0);
        pollfd hangup{clients.back()->fd(), 0, 0};
        ASSERT_EQ(poll(&hangup, 1, test::kDeadlineSeconds * 1000), 1);
    }
    const auto attach = [&] {
        TestClient client(server.socket());
        if (!client.send(attach_request())) return std::optional<size_t>();
        const std::optional<test::Answer> answer = client.receive();
        return answer ? std::optional(answer->fds.size()) : std::nullopt;
    };
    EXPECT_EQ(attach(), 0u) << "four descriptors are on their way";
    // It reads, and another is gone without.
    EXPECT_EQ(clients[0]->receive()->fds.size(), 1u);
    clients.erase(clients.begin(), clients.begin() + 2);
    for (int i = 0; i < 1000 && attach() != 1u; ++i) std::this_thread::yield();
    EXPECT_EQ(attach(), 1u);
}

// Runs it in a child process of another uid; its exit status.
int as_uid(uid_t uid, const std::function<bool()>& what) {
    const pid_t pid = fork();
    if (pid == 0) _exit(setgid(uid) == 0 && setuid(uid) == 0 && what() ? 0 : 1);
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Server, WhoHasMostConnectionsGivesWayToAnother) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
    TestServer server({8, 8, 30s});
    server.open_to_all();
    std::vector<std::unique_ptr<TestClient>> greedy;
    for (int i = 0; i < 8; ++i) {
        greedy.push_back(std::make_unique<TestClient>(server.socket()));
        ASSERT_TRUE(answers(*greedy.back()));
    }
    ASSERT_TRUE(answers(*greedy[0])) << "the second is the most idle now";
    constexpr uid_t kNobody = 65534;
    EXPECT_EQ(as_uid(kNobody,
                     [&] {
                         TestClient client(server.socket());
                         return answers(client);
                     }),
              0);
    EXPECT_TRUE(greedy[1]->wait_for_close());
    EXPECT_TRUE(answers(*greedy[0]));
    for (size_t i = 2; i < greedy.size(); ++i) EXPECT_TRUE(answers(*greedy[i])) << i;
}

// Connects once; errno, or 0.
int try_to_connect(const std::string& path) {
    const UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0
                                                                                             : errno;
}

TEST(Server, WhoAsksTooOftenIsLockedOutForAWhileAndNobodyElse) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
    constexpr uid_t kGreedy = 54321;
    constexpr uid_t kOther = 54322;
    TestServer server({64, 64, 30s, core::QuotaLimits{}.descriptors, 50});
    server.open_to_all();
    struct stat before {};
    ASSERT_EQ(stat(server.socket().c_str(), &before), 0);
    // Until the kernel turns it away.
    const auto storm = [&] {
        int answer = 0;
        for (int i = 0; i < 100'000 && answer == 0; ++i) answer = try_to_connect(server.socket());
        return answer == EACCES;
    };
    const auto is_served = [&] {
        TestClient client(server.socket());
        return answers(client);
    };
    EXPECT_EQ(as_uid(kGreedy, storm), 0);
    EXPECT_EQ(as_uid(kOther, is_served), 0);
    EXPECT_TRUE(is_served()) << "nor is root";
    struct stat after {};
    ASSERT_EQ(stat(server.socket().c_str(), &after), 0);
    EXPECT_EQ(after.st_mode, before.st_mode);
    EXPECT_EQ(as_uid(kGreedy,
                     [&] {
                         for (int i = 0; i < 3000; ++i) {
                             if (try_to_connect(server.socket()) == 0) return true;
                             std::this_thread::sleep_for(10ms);
                         }
                         return false;
                     }),
              0);
    EXPECT_EQ(as_uid(kGreedy, storm), 0) << "again";
}

TEST(Server, RootOfAContainerIsNotTheMachines) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to make a pid namespace";
    TestServer server({16, 16, 30s});
    ASSERT_TRUE(server.publish());
    const auto administers = [&] {
        TestClient client(server.socket());
        client.send(wire::DropRequest{"all"});
        const std::optional<test::Answer> answer = client.receive();
        return answer && answer->as<wire::DropReply>() != nullptr &&
               answer->as<wire::DropReply>()->dropped == 1;
    };
    const int inside = as_uid(0, [&] {
        if (unshare(CLONE_NEWPID) != 0) _exit(77);
        return as_uid(0, [&] {
                   if (administers()) return false;
                   TestClient client(server.socket());
                   const UniqueFd plan = test::make_plan({"/system/a.py"});
                   client.send(wire::BuildRequest{"/usr/bin/python3", 0}, {plan.get()});
                   const std::optional<test::Answer> answer = client.receive();
                   if (!answer || answer->as<Error>() == nullptr) return false;
                   if (answer->as<Error>()->code != ErrorCode::kPermissionDenied) return false;
                   // But it is served.
                   client.send(attach_request());
                   const std::optional<test::Answer> attached = client.receive();
                   return attached && attached->fds.size() == 1;
               }) == 0;
    });
    if (inside == 77) GTEST_SKIP() << "no pid namespaces here";
    EXPECT_EQ(inside, 0);
    EXPECT_TRUE(administers());
}

// In a process of its own: as a user who may not go beyond the limit, and has nothing else open.
void attach_beyond_the_limit() {
    constexpr uid_t kNobodyElse = 54321;
    if (geteuid() == 0 && setuid(kNobodyElse) != 0) _exit(2);
    const rlimit limit{64, 64};
    setrlimit(RLIMIT_NOFILE, &limit);
    set_log_threshold(LogLevel::kWarning);
    {
        TestServer server({16, 16, 30s});
        if (!server.publish()) _exit(3);
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) _exit(4);
        const int fds[kMaxFdsPerMessage] = {0, 0, 0, 0, 0, 0, 0, 0};
        IoStatus status = IoStatus::kOk;
        for (int i = 0; i < 100 && status == IoStatus::kOk; ++i) {
            status = send_message(ends[0], "x", 1, fds, kMaxFdsPerMessage, MSG_DONTWAIT);
        }
        if (status != IoStatus::kError || errno != ETOOMANYREFS) _exit(5);
        TestClient client(server.socket());
        for (int i = 0; i < 3; ++i) {
            if (!client.send(attach_request())) _exit(6);
            const std::optional<test::Answer> answer = client.receive();
            if (!answer || answer->as<Error>() == nullptr) _exit(7);
            if (answer->as<Error>()->code != ErrorCode::kUnavailable) _exit(8);
        }
        // They are read: all is well again.
        close(ends[1]);
        close(ends[0]);
        if (!client.send(attach_request())) _exit(9);
        const std::optional<test::Answer> answer = client.receive();
        if (!answer || answer->fds.size() != 1) _exit(10);
    }
    _exit(0);
}

TEST(ServerDeathTest, SaysSoWhenNoMoreDescriptorsMayBeOnTheirWay) {
    // One warning for three refusals.
    EXPECT_EXIT(attach_beyond_the_limit(), testing::ExitedWithCode(0),
                "^[^\n]*warning: attaching fails[^\n]*\n$");
}

TEST(Server, DescriptorsThatNobodyAskedForAreClosed) {
    TestServer server({16, 16, 30s});
    TestClient client(server.socket());
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    ASSERT_TRUE(client.send(wire::StatusRequest{}, {write_end.get(), write_end.get()}));
    ASSERT_TRUE(client.receive());
    write_end.reset();
    char byte = 0;
    EXPECT_EQ(read(read_end.get(), &byte, 1), 0) << "the last writer is gone";
}

TEST(Server, ServesManyAtOnce) {
    TestServer server({256, 256, 30s});
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&server] {
            for (int j = 0; j < 50; ++j) {
                TestClient client(server.socket());
                EXPECT_TRUE(client.send(wire::AttachRequest{{}, 1}));
                const std::optional<test::Answer> answer = client.receive();
                EXPECT_TRUE(answer && answer->as<wire::AttachReply>() != nullptr);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace pycds::ipc
