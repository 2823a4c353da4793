#include "ctl/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_daemon.h"
#include "src/common/os/sealed_memfd.h"
#include "support.h"

namespace pycds::ctl {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class ConnectionTest : public testing::Test {
  protected:
    // What a call of `request` gives against a daemon with this handler.
    Result<Answer> call(FakeDaemon::Handler handler, const wire::Request& request,
                        Connection::Options options = {}) {
        const FakeDaemon daemon(socket_, std::move(handler));
        Result<Connection> connection = Connection::open(socket_);
        if (!connection) return connection.error();
        return connection->call(request, options);
    }

    TempDir directory_;
    std::string socket_ = directory_ / "socket";
};

TEST_F(ConnectionTest, GetsTheReply) {
    wire::StatusReply status;
    status.version = "1.2.3";
    Result<Answer> answer = call(always({status}), wire::StatusRequest{});
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(std::get<wire::StatusReply>(answer->reply).version, "1.2.3");
}

TEST_F(ConnectionTest, PassesDescriptorsBothWays) {
    Result<UniqueFd> fd = create_memfd("test");
    ASSERT_TRUE(fd);
    size_t received = 0;
    Connection::Options options;
    options.fd = fd->get();
    Result<Answer> answer = call(
        [&](const wire::Request&, const ReceivedMessage& message) {
            received = message.fd_count;
            return std::vector<FakeDaemon::Step>{
                {wire::encode(wire::Reply(wire::FetchReply{})), message.fds[0].get()}};
        },
        wire::FetchRequest{"x"}, options);
    ASSERT_TRUE(answer);
    EXPECT_EQ(received, 1U);
    EXPECT_EQ(answer->fds.size(), 1U);
}

TEST_F(ConnectionTest, ReportsProgressAndWaitsForTheEnd) {
    std::vector<uint32_t> seen;
    Connection::Options options;
    options.on_progress = [&](const wire::BuildProgress& step) { seen.push_back(step.done); };
    Result<Answer> answer =
        call(always({wire::BuildProgress{1, 3}, wire::BuildProgress{2, 3}, wire::BuildReply{}}),
             wire::BuildRequest{"/usr/bin/python3", 0}, options);
    ASSERT_TRUE(answer);
    EXPECT_TRUE(std::holds_alternative<wire::BuildReply>(answer->reply));
    EXPECT_EQ(seen, (std::vector<uint32_t>{1, 2}));
}

TEST_F(ConnectionTest, ErrorReplyIsTheError) {
    Result<Answer> answer =
        call(always({Error{ErrorCode::kNotFound, "no image x"}}), wire::FetchRequest{"x"});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(answer.error().message, "no image x");
}

TEST_F(ConnectionTest, NobodyThere) {
    Result<Connection> connection = Connection::open(socket_);
    ASSERT_FALSE(connection);
    EXPECT_EQ(connection.error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(connection.error().message,
              "no daemon answers at " + socket_ +
                  ": start it with 'systemctl start pycdsd' or 'pycdsd --user'");
    directory_.file("plain");
    EXPECT_EQ(Connection::open(directory_ / "plain").error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(Connection::open(std::string(200, 'x')).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(Connection::open("").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ConnectionTest, HangsUpInTheMiddle) {
    Result<Answer> answer = call(
        [](const wire::Request&, const ReceivedMessage&) {
            return std::vector<FakeDaemon::Step>{{"", -1}};
        },
        wire::StatusRequest{});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(answer.error().message, HasSubstr("went away"));
}

TEST_F(ConnectionTest, SilenceEnds) {
    Connection::Options options;
    options.patience = milliseconds(150);
    int ticks = 0;
    options.tick = [&ticks] { ++ticks; };
    Result<Answer> answer =
        call([](const wire::Request&,
                const ReceivedMessage&) -> std::vector<FakeDaemon::Step> { return {}; },
             wire::StatusRequest{}, options);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(answer.error().message, HasSubstr("has not answered"));
    EXPECT_GE(ticks, 1);
}

TEST_F(ConnectionTest, GarbageIsNoReply) {
    Result<Answer> answer = call(
        [](const wire::Request&, const ReceivedMessage&) {
            return std::vector<FakeDaemon::Step>{{"\xff\xff\xff garbage", -1}};
        },
        wire::StatusRequest{});
    ASSERT_FALSE(answer);
    EXPECT_THAT(answer.error().message, HasSubstr("no pycdsd of this version"));
}

TEST_F(ConnectionTest, ReplyOfAnotherTypeIsAnError) {
    const FakeDaemon daemon(socket_, always({wire::ListReply{}}));
    Result<Connection> connection = Connection::open(socket_);
    ASSERT_TRUE(connection);
    Result<wire::StatusReply> status = connection->ask<wire::StatusReply>(wire::StatusRequest{});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kUnavailable);
}

TEST_F(ConnectionTest, TooLongARequestIsNotSent) {
    Result<Answer> answer =
        call(always({wire::BuildReply{}}), wire::BuildRequest{std::string(100'000, 'x'), 0});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kInvalidArgument);
}

// Runs as root only, as somebody else for its length.
class AsAnotherUser {
  public:
    explicit AsAnotherUser(uid_t uid) { EXPECT_EQ(seteuid(uid), 0); }
    ~AsAnotherUser() { EXPECT_EQ(seteuid(0), 0); }
};

class ConnectionPeer : public ConnectionTest {
  protected:
    static constexpr uid_t kUser = 65533;
    static constexpr uid_t kStranger = 65532;

    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "only root can be several users";
    }

    // What a user gets who connects to a daemon of `daemon_uid`.
    Status open_as_user(uid_t daemon_uid) {
        const FakeDaemon daemon(socket_, always({wire::StatusReply{}}), daemon_uid);
        EXPECT_EQ(chmod(socket_.c_str(), 0666), 0);
        EXPECT_EQ(chmod(directory_.path().c_str(), 0755), 0);
        const AsAnotherUser user(kUser);
        Result<Connection> connection = Connection::open(socket_);
        if (!connection) return connection.error();
        return Ok{};
    }
};

TEST_F(ConnectionPeer, ADaemonOfRootOrOfOneselfIsTrusted) {
    EXPECT_TRUE(open_as_user(0));
    unlink(socket_.c_str());
    EXPECT_TRUE(open_as_user(kUser));
}

TEST_F(ConnectionPeer, ADaemonOfSomebodyElseIsNot) {
    const Status opened = open_as_user(kStranger);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kPermissionDenied);
    EXPECT_EQ(opened.error().message,
              "the daemon at " + socket_ + " runs as uid 65532, neither root nor you: not trusted");
}

TEST(ChooseSocket, OrderOfTheContract) {
    const TempDir directory;
    const ScopedVariable socket("PYCDS_SOCKET", "/from/environment");
    const ScopedVariable runtime("XDG_RUNTIME_DIR", directory.path().c_str());
    EXPECT_EQ(choose_socket("/given"), "/given");
    EXPECT_EQ(choose_socket(""), "/from/environment");
    const ScopedVariable none("PYCDS_SOCKET", nullptr);
    if (fs::exists("/run/pycds/pycdsd.sock")) GTEST_SKIP() << "a system daemon runs here";
    EXPECT_EQ(choose_socket(""), "/run/pycds/pycdsd.sock");
    const std::string own = directory.file("pycds/pycdsd.sock");
    EXPECT_EQ(choose_socket(""), own);
}

}  // namespace
}  // namespace pycds::ctl
