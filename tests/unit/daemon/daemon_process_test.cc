// The whole daemon, from outside: what its peers and its administrator notice.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "src/common/image/format.h"
#include "src/common/os/mapping.h"
#include "src/common/os/sealed_memfd.h"
#include "tests/fakes/tiny_image.h"
#include "tests/unit/daemon/attach_request.h"
#include "tests/unit/daemon/daemon_process.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::test {
namespace {

// A file that is the system's on any machine.
constexpr const char* kSystemFile = "/etc/passwd";

class DaemonTest : public testing::Test {
  protected:
    // An image such as the builder is asked for, for it to find.
    std::vector<std::byte> prepare_image(uint32_t slot, uint64_t generation,
                                         std::optional<uid_t> uid,
                                         const std::string& source = kSystemFile) {
        fakes::TinyImageOptions options;
        options.paths = {source};
        options.left_out.clear();
        options.generation = generation;
        options.base = image::requested_base_of_slot(slot);
        options.first_co_version = image::first_co_version_of_slot(slot);
        if (uid) {
            options.domain = image::DomainKind::kUser;
            options.uid = *uid;
        }
        const std::vector<std::byte> bytes = fakes::make_tiny_image(options);
        write_file(
            daemon_.path("client/image-" + std::to_string(slot) + "-" + std::to_string(generation)),
            {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        return bytes;
    }

    std::optional<Answer> build(const std::vector<std::string>& paths) {
        TestClient client(daemon_.socket());
        const UniqueFd plan = make_plan(paths);
        EXPECT_TRUE(client.send(wire::BuildRequest{TEST_PYTHON, 0}, {plan.get()}));
        return client.receive_last();
    }

    DaemonProcess daemon_;
};

TEST_F(DaemonTest, BuildsPublishesAndHandsOut) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("report('progress 1 1'); write_image()");
    const std::vector<std::byte> system = prepare_image(0, 1, std::nullopt);
    const std::string own_file = daemon_.path("own.py");
    prepare_image(1, 2, geteuid(), own_file);
    const std::optional<Answer> built = build({kSystemFile, own_file});
    ASSERT_TRUE(built);
    const auto* reply = built->as<wire::BuildReply>();
    ASSERT_NE(reply, nullptr) << built->as<Error>()->message;
    ASSERT_EQ(reply->images.size(), 2u);
    EXPECT_EQ(reply->images[1].domain_uid, geteuid());

    TestClient client(daemon_.socket());
    ASSERT_TRUE(client.send(attach_request()));
    const std::optional<Answer> attached = client.receive();
    ASSERT_TRUE(attached && attached->as<wire::AttachReply>() != nullptr);
    const auto& images = attached->as<wire::AttachReply>()->images;
    ASSERT_EQ(images.size(), 2u);
    ASSERT_EQ(attached->fds.size(), 2u);
    EXPECT_EQ(images[0].domain, wire::Domain::kSystem);
    EXPECT_TRUE(has_image_seals(attached->fds[0].get()));
    EXPECT_TRUE(has_image_seals(attached->fds[1].get()));
    const Result<Mapping> mapping = Mapping::map_read_only(attached->fds[0].get(), images[0].size);
    ASSERT_TRUE(mapping.ok());
    const Mapping& mapped = *mapping;
    EXPECT_TRUE(
        std::equal(system.begin(), system.end(), mapped.bytes().begin(), mapped.bytes().end()));

    // The same connection serves on.
    ASSERT_TRUE(client.send(wire::StatusRequest{}));
    const std::optional<Answer> status = client.receive();
    ASSERT_TRUE(status && status->as<wire::StatusReply>() != nullptr);
    EXPECT_EQ(status->as<wire::StatusReply>()->attaches, 1u);
    EXPECT_EQ(status->as<wire::StatusReply>()->builds_done, 1u);
    EXPECT_NE(daemon_.log().find("build 1 finished: img-1 and img-2, 2 modules"),
              std::string::npos);
}

TEST_F(DaemonTest, ANewBuildReplacesTheImage) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("write_image()");
    prepare_image(0, 1, std::nullopt);
    prepare_image(0, 2, std::nullopt);
    ASSERT_TRUE(build({kSystemFile}));
    ASSERT_TRUE(build({kSystemFile}));
    TestClient client(daemon_.socket());
    ASSERT_TRUE(client.send(wire::ListRequest{}));
    const std::optional<Answer> list = client.receive();
    ASSERT_TRUE(list && list->as<wire::ListReply>() != nullptr);
    ASSERT_EQ(list->as<wire::ListReply>()->images.size(), 1u);
    EXPECT_EQ(list->as<wire::ListReply>()->images[0].id, "img-2");
}

TEST_F(DaemonTest, AUsersDaemonKeepsEverythingToItsUser) {
    ASSERT_TRUE(daemon_.start({{"--user"}, {}, -1, true}));
    struct stat st {};
    ASSERT_EQ(stat(daemon_.socket().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u);
    ASSERT_EQ(stat(daemon_.path("run").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0700u);
    daemon_.set_builder("write_image()");
    prepare_image(1, 1, geteuid());
    const std::optional<Answer> built = build({kSystemFile});
    ASSERT_TRUE(built && built->as<wire::BuildReply>() != nullptr);
    ASSERT_EQ(built->as<wire::BuildReply>()->images.size(), 1u);
    EXPECT_EQ(built->as<wire::BuildReply>()->images[0].domain, wire::Domain::kUser);
}

TEST_F(DaemonTest, TheSystemsSocketIsOpenToAll) {
    ASSERT_TRUE(daemon_.start());
    struct stat st {};
    ASSERT_EQ(stat(daemon_.socket().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0666u);
    ASSERT_EQ(stat(daemon_.path("run").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0755u);
}

TEST_F(DaemonTest, AMessageThatIsTooLongEndsTheConnectionOnly) {
    ASSERT_TRUE(daemon_.start());
    TestClient other(daemon_.socket());
    TestClient client(daemon_.socket());
    ASSERT_TRUE(client.send_bytes(std::string(64 * 1024 + 1, 'x')));
    EXPECT_TRUE(client.wait_for_close());
    ASSERT_TRUE(other.send(wire::StatusRequest{}));
    EXPECT_TRUE(other.receive());
}

TEST_F(DaemonTest, GarbageEndsTheConnectionAndTheUnknownIsAnswered) {
    ASSERT_TRUE(daemon_.start());
    TestClient garbage(daemon_.socket());
    ASSERT_TRUE(garbage.send_bytes(std::string(100, '\xff')));
    EXPECT_TRUE(garbage.wait_for_close());
    TestClient future(daemon_.socket());
    ASSERT_TRUE(future.send_bytes(std::string("\xba\x3e\x00", 3)));  // field 999
    const std::optional<Answer> answer = future.receive();
    ASSERT_TRUE(answer && answer->as<Error>() != nullptr);
    EXPECT_EQ(answer->as<Error>()->code, ErrorCode::kInvalidArgument);
}

TEST_F(DaemonTest, RequestsSentAheadAreAnsweredInOrder) {
    ASSERT_TRUE(daemon_.start());
    daemon_.set_builder("report('error no'); sys.exit(1)");
    TestClient client(daemon_.socket());
    const UniqueFd plan = make_plan({kSystemFile});
    ASSERT_TRUE(client.send(wire::BuildRequest{TEST_PYTHON, 0}, {plan.get()}));
    ASSERT_TRUE(client.send(wire::StatusRequest{}));
    ASSERT_TRUE(client.send(wire::ListRequest{}));
    const std::optional<Answer> built = client.receive_last();
    EXPECT_TRUE(built && built->as<Error>() != nullptr);
    const std::optional<Answer> status = client.receive();
    EXPECT_TRUE(status && status->as<wire::StatusReply>() != nullptr);
    const std::optional<Answer> list = client.receive();
    EXPECT_TRUE(list && list->as<wire::ListReply>() != nullptr);
}

TEST_F(DaemonTest, ASecondDaemonLeavesTheFirstAlone) {
    ASSERT_TRUE(daemon_.start());
    DaemonProcess second;
    EXPECT_FALSE(second.start({{"--socket", daemon_.socket()}, {}, -1, false}));
    EXPECT_EQ(second.wait(), 1);
    EXPECT_EQ(second.log(), "error: another daemon answers at " + daemon_.socket() + "\n");
    TestClient client(daemon_.socket());
    ASSERT_TRUE(client.send(wire::StatusRequest{}));
    EXPECT_TRUE(client.receive());
}

TEST_F(DaemonTest, AfterAKillItStartsAgainOnItsSocket) {
    ASSERT_TRUE(daemon_.start());
    EXPECT_EQ(daemon_.stop(SIGKILL), -SIGKILL);
    EXPECT_EQ(access(daemon_.socket().c_str(), F_OK), 0) << "a stale socket is there";
    ASSERT_TRUE(daemon_.start());
    TestClient client(daemon_.socket());
    ASSERT_TRUE(client.send(wire::StatusRequest{}));
    EXPECT_TRUE(client.receive());
}

TEST_F(DaemonTest, StopsCleanlyWhenAsked) {
    for (const int signal : {SIGTERM, SIGINT}) {
        ASSERT_TRUE(daemon_.start());
        TestClient client(daemon_.socket());
        EXPECT_EQ(daemon_.stop(signal), 0);
        EXPECT_TRUE(client.wait_for_close());
        EXPECT_NE(access(daemon_.socket().c_str(), F_OK), 0) << "the socket is removed";
    }
}

TEST_F(DaemonTest, StopsWhenAskedWhileItWaitsForTheLock) {
    ASSERT_EQ(mkdir(daemon_.path("run").c_str(), 0755), 0);
    const UniqueFd lock(
        open((daemon_.socket() + ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
    ASSERT_TRUE(daemon_.spawn({}));
    // It waits once it has the file open, with its signals already in hand.
    const auto has_lock_open = [&] {
        const std::string process = "/proc/" + std::to_string(daemon_.pid());
        const std::string fds = process + "/fd";
        std::error_code gone;
        // Before it is pycdsd it is a copy of this process, whose descriptor of the file it has.
        if (std::filesystem::read_symlink(process + "/exe", gone).filename() != "pycdsd")
            return false;
        for (const auto& entry : std::filesystem::directory_iterator(fds, gone)) {
            if (std::filesystem::read_symlink(entry, gone) == daemon_.socket() + ".lock")
                return true;
        }
        return false;
    };
    for (int i = 0; i < 2000 && !has_lock_open(); ++i) usleep(1000);
    ASSERT_TRUE(has_lock_open());
    ASSERT_EQ(kill(daemon_.pid(), SIGTERM), 0);
    EXPECT_EQ(daemon_.wait(), 0) << "not an error";
    EXPECT_EQ(daemon_.log(), "");
}

TEST_F(DaemonTest, OutOfDescriptorsItSaysSoOnceAndServesOnLater) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP()
        << "UndefinedBehaviorSanitizer looks at memory through a pipe: without descriptors "
           "it takes every object for a bad one";
#endif
    ASSERT_TRUE(daemon_.start());
    rlimit before{};
    ASSERT_EQ(prlimit(daemon_.pid(), RLIMIT_NOFILE, nullptr, &before), 0);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(prlimit(daemon_.pid(), RLIMIT_NOFILE, &none, nullptr), 0);
    TestClient client(daemon_.socket());
    ASSERT_TRUE(client.send(wire::StatusRequest{}));
    // Time for several attempts to accept it.
    pollfd answer{client.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&answer, 1, 500), 0);
    const std::string log = daemon_.log();
    const size_t first = log.find("warning: cannot accept connections: Too many open files");
    ASSERT_NE(first, std::string::npos) << log;
    EXPECT_EQ(log.find("cannot accept", first + 20), std::string::npos) << log;
    ASSERT_EQ(prlimit(daemon_.pid(), RLIMIT_NOFILE, &before, nullptr), 0);
    EXPECT_TRUE(client.receive());
}

TEST_F(DaemonTest, AConfigurationMistakeIsSaidAtOnce) {
    write_file(daemon_.path("conf"), "socket = /x\nspeed = high\n");
    EXPECT_FALSE(daemon_.start({{"--config", daemon_.path("conf")}, {}, -1, true}));
    EXPECT_EQ(daemon_.wait(), 2);
    EXPECT_TRUE(daemon_.log().starts_with("error: " + daemon_.path("conf") +
                                          ":2: no such option: 'speed'; "))
        << daemon_.log();
}

}  // namespace
}  // namespace pycds::test
