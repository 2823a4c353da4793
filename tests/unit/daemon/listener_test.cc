#include "daemon/ipc/listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "tests/unit/daemon/temp_dir.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::ipc {
namespace {

ListenerOptions at(const std::string& path) {
    return ListenerOptions{path, 0666, 0755};
}

TEST(Listener, MakesTheSocketAndRemovesIt) {
    const test::TempDir dir;
    const mode_t before = umask(0077);
    {
        const Result<Listener> listener = Listener::open(at(dir / "a/b/s.sock"));
        ASSERT_TRUE(listener.ok()) << listener.error().message;
        struct stat st {};
        ASSERT_EQ(stat((dir / "a/b/s.sock").c_str(), &st), 0);
        EXPECT_EQ(st.st_mode & 0777, 0666u) << "whatever the umask";
        ASSERT_EQ(stat((dir / "a/b").c_str(), &st), 0);
        EXPECT_EQ(st.st_mode & 0777, 0755u);
        test::TestClient client(dir / "a/b/s.sock");
    }
    umask(before);
    EXPECT_NE(access((dir / "a/b/s.sock").c_str(), F_OK), 0);
}

TEST(Listener, DoesNotTakeALiveDaemonsSocket) {
    const test::TempDir dir;
    const Result<Listener> first = Listener::open(at(dir / "s.sock"));
    ASSERT_TRUE(first.ok());
    const Result<Listener> second = Listener::open(at(dir / "s.sock"));
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(second.error().message, "another daemon answers at " + (dir / "s.sock"));
}

TEST(Listener, DoesNotRemoveASocketThatTookItsPlace) {
    const test::TempDir dir;
    {
        const Result<Listener> first = Listener::open(at(dir / "s.sock"));
        ASSERT_TRUE(first.ok());
        // The first one's inode number must not be free for the second.
        ASSERT_EQ(rename((dir / "s.sock").c_str(), (dir / "old.sock").c_str()), 0);
        UniqueFd second(socket(AF_UNIX, SOCK_SEQPACKET, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const std::string path = dir / "s.sock";
        std::memcpy(address.sun_path, path.data(), path.size());
        ASSERT_EQ(bind(second.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    EXPECT_EQ(access((dir / "s.sock").c_str(), F_OK), 0);
}

TEST(Listener, RefusesAPathThatCannotBeASocket) {
    const test::TempDir dir;
    test::write_file(dir / "file", "x");
    EXPECT_EQ(Listener::open(at(dir / "file")).error().message,
              (dir / "file") + " exists and is not a socket");
    EXPECT_EQ(test::read_file(dir / "file"), "x");
    const Result<Listener> too_long = Listener::open(at(dir / std::string(200, 'x')));
    ASSERT_FALSE(too_long.ok());
    EXPECT_NE(too_long.error().message.find("limit is 107"), std::string::npos);
    EXPECT_FALSE(Listener::open(at("s.sock")).ok());
    EXPECT_FALSE(Listener::open(at(dir / "file/s.sock")).ok());
}

}  // namespace
}  // namespace pycds::ipc
