#include "daemon/ipc/listener.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

TEST(Listener, DoesNotWaitForWhoLocksItsDirectory) {
    const test::TempDir dir;
    const UniqueFd directory(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(flock(directory.get(), LOCK_EX), 0);
    EXPECT_TRUE(Listener::open(at(dir / "s.sock")).ok());
}

TEST(Listener, HoldsALockFileAsLongAsItLives) {
    const test::TempDir dir;
    const std::string file = dir / "s.sock.lock";
    {
        const Result<Listener> listener = Listener::open(at(dir / "s.sock"));
        ASSERT_TRUE(listener.ok());
        const UniqueFd other(::open(file.c_str(), O_RDWR | O_CLOEXEC));
        struct stat st {};
        ASSERT_EQ(fstat(other.get(), &st), 0);
        EXPECT_EQ(st.st_mode & 0777, 0600u);
        EXPECT_EQ(flock(other.get(), LOCK_EX | LOCK_NB), -1);
    }
    EXPECT_NE(access(file.c_str(), F_OK), 0) << "removed";
    // One that was left behind does no harm.
    test::write_file(file, "", 0600);
    EXPECT_TRUE(Listener::open(at(dir / "s.sock")).ok());
}

TEST(Listener, GivesUpOnALockThatIsNotReleased) {
    const test::TempDir dir;
    const std::string file = dir / "s.sock.lock";
    const UniqueFd held(::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
    const Result<Listener> refused = Listener::open(at(dir / "s.sock"));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(refused.error().message.find(file), std::string::npos);
    EXPECT_EQ(access(file.c_str(), F_OK), 0) << "it is the holder's to remove";
}

TEST(Listener, TakesNobodyElsesLockFile) {
    const test::TempDir dir;
    const std::string file = dir / "s.sock.lock";
    ASSERT_EQ(symlink("elsewhere", file.c_str()), 0);
    EXPECT_FALSE(Listener::open(at(dir / "s.sock")).ok());
    EXPECT_NE(access((dir / "elsewhere").c_str(), F_OK), 0);
    ASSERT_EQ(unlink(file.c_str()), 0);
    if (geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
    test::write_file(file, "", 0666);
    ASSERT_EQ(chown(file.c_str(), 12345, 0), 0);
    const Result<Listener> refused = Listener::open(at(dir / "s.sock"));
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find(file), std::string::npos);
    EXPECT_EQ(access(file.c_str(), F_OK), 0);
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
