// The protocols between a service manager and the daemon.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "daemon/sys/fd_store.h"
#include "src/common/os/sealed_memfd.h"
#include "tests/unit/daemon/daemon_process.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::test {
namespace {

// A socket as a socket unit makes it.
UniqueFd listening_socket(const std::string& path, int type) {
    UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(fd.get(), 16), 0);
    return fd;
}

TEST(ServiceManager, IsToldOfReadinessAndOfTheEnd) {
    DaemonProcess daemon;
    ASSERT_TRUE(daemon.start()) << "READY=1 came";
    kill(daemon.pid(), SIGTERM);
    EXPECT_TRUE(daemon.next_notification().starts_with("STOPPING=1"));
    EXPECT_EQ(daemon.wait(), 0);
}

sys::StoredDescriptor stored(const std::string& name, std::span<const std::byte> bytes) {
    Result<UniqueFd> sealed = make_sealed_copy("test", bytes);
    EXPECT_TRUE(sealed.ok());
    return {name, std::move(*sealed)};
}

TEST(FdStore, GivesTheHashSeedBack) {
    constexpr uint32_t kSeed = 0x12345678;
    const auto bytes = std::as_bytes(std::span(&kSeed, 1));
    std::vector<sys::StoredDescriptor> passed;
    EXPECT_EQ(sys::FdStore::take_hash_seed(passed), 0u);
    passed.push_back(stored("img.of.another.name", bytes));
    EXPECT_EQ(sys::FdStore::take_hash_seed(passed), 0u);
    passed.push_back(stored("hash-seed", bytes));
    EXPECT_EQ(sys::FdStore::take_hash_seed(passed), kSeed);
    EXPECT_EQ(passed.size(), 1u) << "the others are the images'";
    EXPECT_EQ(sys::FdStore::take_hash_seed(passed), 0u);
    passed.push_back(stored("hash-seed", bytes.first(3)));
    EXPECT_EQ(sys::FdStore::take_hash_seed(passed), 0u);
    EXPECT_EQ(passed.size(), 1u);
}

TEST(ServiceManager, PassesTheSocket) {
    DaemonProcess daemon;
    const std::string path = daemon.path("activated.sock");
    const UniqueFd listener = listening_socket(path, SOCK_SEQPACKET);
    // Asked before the daemon runs: that is what socket activation is for.
    TestClient early(path);
    ASSERT_TRUE(early.send(wire::StatusRequest{}));
    ASSERT_TRUE(daemon.start({{}, {}, listener.get(), true}));
    EXPECT_TRUE(early.receive());
    EXPECT_NE(daemon.log().find("listening on " + path), std::string::npos);
    EXPECT_NE(access(daemon.socket().c_str(), F_OK), 0) << "it makes none of its own";
    EXPECT_EQ(daemon.stop(SIGTERM), 0);
    EXPECT_EQ(access(path.c_str(), F_OK), 0) << "the manager's socket stays";
}

TEST(ServiceManager, PassesTheWrongSocket) {
    DaemonProcess daemon;
    const UniqueFd listener = listening_socket(daemon.path("stream.sock"), SOCK_STREAM);
    EXPECT_FALSE(daemon.start({{}, {}, listener.get(), true}));
    EXPECT_EQ(daemon.wait(), 1);
    EXPECT_NE(daemon.log().find("SOCK_SEQPACKET"), std::string::npos);
}

TEST(ServiceManager, WhoWaitsForADaemonThatCannotStartIsTurnedAway) {
    DaemonProcess daemon;
    const std::string path = daemon.path("activated.sock");
    const UniqueFd listener = listening_socket(path, SOCK_SEQPACKET);
    write_file(daemon.path("bad.conf"), "soket = /x\n");
    TestClient early(path);
    ASSERT_TRUE(early.send(wire::StatusRequest{}));
    EXPECT_FALSE(daemon.start({{"--config", daemon.path("bad.conf")}, {}, listener.get(), true}));
    EXPECT_EQ(daemon.wait(), 2);
    EXPECT_NE(daemon.log().find("bad.conf:1: "), std::string::npos);
    EXPECT_TRUE(early.wait_for_close()) << "a Python that starts must not wait for its deadline";
}

}  // namespace
}  // namespace pycds::test
