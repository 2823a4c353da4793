// Who may connect to a real socket, by its access control list.
#include "daemon/ipc/lockout.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <thread>

#include "daemon/ipc/listener.h"
#include "tests/unit/daemon/temp_dir.h"

namespace pycds::ipc {
namespace {

using namespace std::chrono_literals;

class LockoutTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(listener_) << listener_.error().message;
        const Lockout probe(context_, listener_->fd());
        if (!probe.possible()) GTEST_SKIP() << probe.possible().error().message;
    }

    std::string path() const { return dir_ / "s.sock"; }

    // Entries of the list beside those that every mode has.
    ssize_t list_size() const { return getxattr(path().c_str(), kList, nullptr, 0); }

    mode_t mode() const {
        struct stat st {};
        return stat(path().c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
    }

    static constexpr const char* kList = "system.posix_acl_access";
    test::TempDir dir_;
    Result<Listener> listener_ = Listener::open({dir_ / "s.sock", 0660, 0700});
    boost::asio::io_context context_;
};

TEST_F(LockoutTest, EndsByItself) {
    Lockout lockout(context_, listener_->fd());
    EXPECT_EQ(list_size(), -1) << "nobody is locked out";
    lockout.add(1000, 50ms);
    lockout.add(1001, 300ms);
    const ssize_t two = list_size();
    EXPECT_GT(two, 0);
    EXPECT_EQ(mode(), 0660u);
    while (lockout.size() == 2) context_.run_one();
    EXPECT_EQ(list_size(), two - 8) << "an entry has eight bytes";
    lockout.add(1001, 300ms);
    EXPECT_EQ(lockout.size(), 1u);
    context_.run();
    EXPECT_EQ(lockout.size(), 0u);
    EXPECT_EQ(list_size(), -1);
    EXPECT_EQ(mode(), 0660u);
}

TEST_F(LockoutTest, EndsWithTheDaemon) {
    {
        Lockout lockout(context_, listener_->fd());
        lockout.add(1000, 1h);
        EXPECT_GT(list_size(), 0);
    }
    EXPECT_EQ(list_size(), -1);
}

TEST_F(LockoutTest, OfADaemonThatWasKilledEndsWithTheNext) {
    // What it left.
    std::string list;
    {
        Lockout lockout(context_, listener_->fd());
        lockout.add(1000, 1h);
        list.resize(static_cast<size_t>(list_size()));
        ASSERT_GT(getxattr(path().c_str(), kList, list.data(), list.size()), 0);
    }
    ASSERT_EQ(setxattr(path().c_str(), kList, list.data(), list.size(), 0), 0);
    const Lockout next(context_, listener_->fd());
    EXPECT_EQ(list_size(), -1);
    EXPECT_EQ(mode(), 0660u);
}

TEST_F(LockoutTest, HasRoomForSome) {
    Lockout lockout(context_, listener_->fd());
    for (uid_t uid = 1000; uid < 5000; ++uid) lockout.add(uid, 1h);
    EXPECT_TRUE(lockout.possible());
    EXPECT_EQ(lockout.size(), 64u);
    EXPECT_GT(list_size(), 64 * 8);
}

TEST_F(LockoutTest, LeavesAnotherListAlone) {
    // user::rw- user:1000:rw- group::--- mask::rw- other::--- (linux/posix_acl_xattr.h)
    const std::string list("\2\0\0\0" "\1\0\6\0\xff\xff\xff\xff" "\2\0\6\0\xe8\3\0\0"
                           "\4\0\0\0\xff\xff\xff\xff" "\x10\0\6\0\xff\xff\xff\xff"
                           "\x20\0\0\0\xff\xff\xff\xff", 44);
    ASSERT_EQ(setxattr(path().c_str(), kList, list.data(), list.size(), 0), 0);
    {
        Lockout lockout(context_, listener_->fd());
        EXPECT_FALSE(lockout.possible());
        lockout.add(1001, 1h);
    }
    EXPECT_EQ(list_size(), 44);
}

TEST_F(LockoutTest, NeedsAFileOfTheSocket) {
    ASSERT_EQ(unlink(path().c_str()), 0);
    Lockout lockout(context_, listener_->fd());
    EXPECT_FALSE(lockout.possible());
    lockout.add(1000, 1h);
    EXPECT_EQ(lockout.size(), 0u);
    // Nor does it follow where somebody leads.
    test::write_file(dir_ / "other", "", 0640);
    ASSERT_EQ(symlink((dir_ / "other").c_str(), path().c_str()), 0);
    EXPECT_FALSE(Lockout(context_, listener_->fd()).possible());
}

}  // namespace
}  // namespace pycds::ipc
