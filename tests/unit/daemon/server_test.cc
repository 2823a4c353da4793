// The server in this process, on a real socket, with limits small enough to reach.
#include "daemon/ipc/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "daemon/ipc/listener.h"
#include "daemon/sys/system_clock.h"
#include "tests/fakes/fake_launcher.h"
#include "tests/fakes/fake_policy.h"
#include "tests/unit/daemon/temp_dir.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::ipc {
namespace {

using namespace std::chrono_literals;
using test::TestClient;

// A whole daemon but for the builder, which never ends.
class TestServer {
  public:
    explicit TestServer(ServerLimits limits)
        : listener_(Listener::open({dir_ / "s.sock", 0600, 0700})),
          service_({clock_, loop_, launcher_, policy_}, options()),
          server_(loop_, listener_->fd(), service_, limits) {
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

  private:
    static core::ServiceOptions options() {
        core::ServiceOptions out;
        out.daemon_uid = geteuid();
        return out;
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
