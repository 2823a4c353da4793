// What the kernel does for us: seals that hold, descriptors that travel and never leak.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "src/common/os/fd_passing.h"
#include "src/common/os/mapping.h"
#include "src/common/os/peer_identity.h"
#include "src/common/os/sealed_memfd.h"
#include "src/common/os/unique_fd.h"

namespace pycds {
namespace {

size_t open_descriptors() {
    DIR* dir = opendir("/proc/self/fd");
    size_t count = 0;
    while (readdir(dir) != nullptr) ++count;
    closedir(dir);
    return count;
}

bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}
bool is_cloexec(int fd) {
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

std::vector<std::byte> some_bytes(size_t size) {
    std::vector<std::byte> bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7);
    return bytes;
}

UniqueFd sealed(size_t size = 3 * 4096) {
    Result<UniqueFd> fd = make_sealed_copy("test-image", some_bytes(size));
    EXPECT_TRUE(fd.ok());
    return std::move(fd).value();
}

TEST(SealedMemfd, IsTheSameInHugePages) {
    for (const size_t size : {size_t{4096}, (size_t{5} << 20) + 3 * 4096}) {
        const UniqueFd fd = sealed(size);
        use_huge_pages(fd.get(), size);
        EXPECT_TRUE(has_image_seals(fd.get()));
        EXPECT_EQ(regular_file_size(fd.get()), static_cast<int64_t>(size));
        const Result<Mapping> mapping = Mapping::map_read_only(fd.get(), size);
        ASSERT_TRUE(mapping.ok());
        const auto expected = some_bytes(size);
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), mapping->bytes().begin(),
                               mapping->bytes().end()));
    }
}

TEST(UniqueFd, ClosesOnceAndMoves) {
    int raw = -1;
    {
        UniqueFd fd(dup(STDIN_FILENO));
        raw = fd.get();
        UniqueFd other(std::move(fd));
        EXPECT_FALSE(fd.valid());  // NOLINT(bugprone-use-after-move): defined by the class
        EXPECT_EQ(other.get(), raw);
        EXPECT_TRUE(is_open(raw));
    }
    EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, ReleaseGivesUpOwnership) {
    int raw = -1;
    {
        UniqueFd fd(dup(STDIN_FILENO));
        raw = fd.release();
    }
    EXPECT_TRUE(is_open(raw));
    close(raw);
}

TEST(SealedMemfd, HoldsTheBytesAndAllSeals) {
    const UniqueFd fd = sealed();
    EXPECT_TRUE(has_image_seals(fd.get()));
    EXPECT_TRUE(is_cloexec(fd.get()));
    EXPECT_EQ(regular_file_size(fd.get()), 3 * 4096);
    Result<Mapping> mapping = Mapping::map_read_only(fd.get(), 3 * 4096);
    ASSERT_TRUE(mapping.ok());
    const std::vector<std::byte> expected = some_bytes(3 * 4096);
    EXPECT_TRUE(std::ranges::equal(mapping->bytes(), expected));
}

TEST(SealedMemfd, CannotBeChangedByAnyDescriptor) {
    const UniqueFd fd = sealed();
    const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
    const UniqueFd reopened(open(path.c_str(), O_RDWR | O_CLOEXEC));
    for (const int target : {fd.get(), reopened.get()}) {
        if (target < 0) continue;  // a kernel may refuse to reopen, which is as good
        EXPECT_EQ(pwrite(target, "x", 1, 0), -1);
        EXPECT_EQ(errno, EPERM);
        EXPECT_EQ(ftruncate(target, 4096), -1);
        EXPECT_EQ(errno, EPERM);
        EXPECT_EQ(ftruncate(target, 16 * 4096), -1);
        EXPECT_EQ(errno, EPERM);
        EXPECT_EQ(pwrite(target, "x", 1, 3 * 4096), -1);
        EXPECT_EQ(fallocate(target, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
        EXPECT_EQ(fcntl(target, F_ADD_SEALS, 0), -1);
        EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, target, 0), MAP_FAILED);
    }
}

TEST(SealedMemfd, ASharedMappingCannotBecomeWritable) {
    const UniqueFd fd = sealed();
    void* shared = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), 0);
    // Linux before 6.7 refuses a shared mapping of a descriptor open for writing altogether.
    if (shared == MAP_FAILED) return;
    EXPECT_EQ(mprotect(shared, 4096, PROT_READ | PROT_WRITE), -1);
    munmap(shared, 4096);
}

TEST(SealedMemfd, APrivateWriteStaysPrivate) {
    const UniqueFd fd = sealed();
    void* address = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0);
    ASSERT_NE(address, MAP_FAILED);
    std::memset(address, 0x55, 4096);
    std::byte first{0x55};
    ASSERT_EQ(pread(fd.get(), &first, 1, 0), 1);
    EXPECT_EQ(first, std::byte{0});
    munmap(address, 4096);
}

TEST(SealedMemfd, OthersAreNotTakenForSealed) {
    const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_FALSE(has_image_seals(null.get()));
    EXPECT_EQ(regular_file_size(null.get()), -1);
    EXPECT_FALSE(has_image_seals(-1));
    EXPECT_EQ(regular_file_size(-1), -1);

    Result<UniqueFd> open_memfd = create_memfd("test-image");
    ASSERT_TRUE(open_memfd.ok());
    EXPECT_FALSE(has_image_seals(open_memfd->get()));
    for (const int missing : {F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL}) {
        Result<UniqueFd> partly = create_memfd("test-image");
        ASSERT_TRUE(partly.ok());
        ASSERT_EQ(fcntl(partly->get(), F_ADD_SEALS, kImageSeals & ~missing), 0);
        EXPECT_FALSE(has_image_seals(partly->get())) << missing;
    }
}

TEST(Mapping, MovesAndUnmaps) {
    const UniqueFd fd = sealed(4096);
    const std::byte* address = nullptr;
    {
        Result<Mapping> first = Mapping::map_read_only(fd.get(), 4096);
        ASSERT_TRUE(first.ok());
        address = first->bytes().data();
        Mapping second(std::move(first).value());
        EXPECT_EQ(second.bytes().data(), address);
        Mapping third;
        third = std::move(second);
        EXPECT_EQ(third.bytes().size(), 4096U);
    }
    unsigned char resident = 0;
    EXPECT_EQ(mincore(const_cast<std::byte*>(address), 4096, &resident), -1);
}

TEST(Mapping, OfNothingIsEmptyAndOfABadDescriptorAnError) {
    EXPECT_TRUE(Mapping::map_read_only(-1, 0).ok());
    const Result<Mapping> bad = Mapping::map_read_only(-1, 4096);
    ASSERT_FALSE(bad.ok());
    EXPECT_EQ(bad.error().code, ErrorCode::kSystem);
}

class FdPassing : public testing::Test {
  protected:
    void SetUp() override {
        int ends[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        near_.reset(ends[0]);
        far_.reset(ends[1]);
    }

    // What a peer that does not use our code may send.
    void send_raw(size_t size, const std::vector<int>& fds) {
        const std::string data(size, 'x');
        iovec iov{const_cast<char*>(data.data()), data.size()};
        std::vector<char> control(CMSG_SPACE(sizeof(int) * fds.size()));
        msghdr message{};
        message.msg_iov = &iov;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
        ASSERT_EQ(sendmsg(far_.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(size));
    }

    UniqueFd near_;
    UniqueFd far_;
    char buffer_[64] = {};
};

TEST_F(FdPassing, BytesAndDescriptorsArriveTogether) {
    const UniqueFd a = sealed(4096);
    const UniqueFd b = sealed(8192);
    const int fds[] = {a.get(), b.get()};
    ASSERT_EQ(send_message(far_.get(), "hello", 5, fds, 2), IoStatus::kOk);
    ReceivedMessage message;
    ASSERT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message), IoStatus::kOk);
    EXPECT_EQ(std::string(buffer_, message.size), "hello");
    ASSERT_EQ(message.fd_count, 2U);
    EXPECT_EQ(regular_file_size(message.fds[0].get()), 4096);
    EXPECT_EQ(regular_file_size(message.fds[1].get()), 8192);
    EXPECT_TRUE(is_cloexec(message.fds[0].get()));
    EXPECT_TRUE(is_open(a.get()));
}

TEST_F(FdPassing, AsManyAsThereIsRoomFor) {
    const std::vector<int> fds(kMaxFdsPerMessage, STDIN_FILENO);
    const size_t before = open_descriptors();
    ASSERT_EQ(send_message(far_.get(), "x", 1, fds.data(), fds.size()), IoStatus::kOk);
    {
        ReceivedMessage message;
        ASSERT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message), IoStatus::kOk);
        EXPECT_EQ(message.fd_count, kMaxFdsPerMessage);
        EXPECT_EQ(open_descriptors(), before + kMaxFdsPerMessage);
    }
    EXPECT_EQ(open_descriptors(), before);
    const std::vector<int> more(kMaxFdsPerMessage + 1, STDIN_FILENO);
    EXPECT_EQ(send_message(far_.get(), "x", 1, more.data(), more.size()), IoStatus::kError);
    EXPECT_EQ(errno, EINVAL);
}

TEST_F(FdPassing, SurplusDescriptorsAreRefusedAndClosed) {
    for (const size_t count : {kMaxFdsPerMessage + 1, kMaxFdsPerMessage + 2, size_t{100}}) {
        const size_t before = open_descriptors();
        send_raw(5, std::vector<int>(count, STDIN_FILENO));
        ReceivedMessage message;
        EXPECT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message),
                  IoStatus::kTruncated);
        EXPECT_EQ(message.fd_count, 0U);
        EXPECT_EQ(open_descriptors(), before) << count;
    }
}

TEST_F(FdPassing, AMessageLargerThanTheBufferIsRefusedWithItsDescriptors) {
    const size_t before = open_descriptors();
    send_raw(sizeof buffer_ + 1, {STDIN_FILENO, STDIN_FILENO});
    ReceivedMessage message;
    EXPECT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message),
              IoStatus::kTruncated);
    EXPECT_EQ(open_descriptors(), before);
    // The rest of it does not come as another message.
    EXPECT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message, MSG_DONTWAIT),
              IoStatus::kAgain);
    send_raw(sizeof buffer_, {STDIN_FILENO});
    EXPECT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message), IoStatus::kOk);
    EXPECT_EQ(message.size, sizeof buffer_);
}

TEST_F(FdPassing, AnEmptyMessageIsTheEndAndItsDescriptorsAreClosed) {
    const size_t before = open_descriptors();
    send_raw(0, {STDIN_FILENO});
    ReceivedMessage message;
    EXPECT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message), IoStatus::kClosed);
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(FdPassing, NothingThereYet) {
    ReceivedMessage message;
    EXPECT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message, MSG_DONTWAIT),
              IoStatus::kAgain);
}

TEST_F(FdPassing, ALostPeerIsClosedInBothDirections) {
    far_.reset();
    ReceivedMessage message;
    EXPECT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message), IoStatus::kClosed);
    EXPECT_EQ(send_message(near_.get(), "x", 1, nullptr, 0), IoStatus::kClosed);
}

TEST_F(FdPassing, DescriptorsThatNobodyWantsAreDropped) {
    const int stdin_fd = STDIN_FILENO;
    ASSERT_EQ(send_message(far_.get(), "ab", 2, &stdin_fd, 1), IoStatus::kOk);
    char buffer[8];
    ReceivedMessage message;
    const int free = dup(STDIN_FILENO);
    close(free);
    EXPECT_EQ(receive_message(near_.get(), buffer, sizeof buffer, &message, 0, Descriptors::kDrop),
              IoStatus::kOk);
    EXPECT_EQ(message.size, 2u);
    EXPECT_EQ(message.fd_count, 0u);
    const UniqueFd same(dup(STDIN_FILENO));
    EXPECT_EQ(same.get(), free);
}

TEST_F(FdPassing, AReceivedMessageIsReplacedWholly) {
    const int stdin_fd = STDIN_FILENO;
    ReceivedMessage message;
    ASSERT_EQ(send_message(far_.get(), "ab", 2, &stdin_fd, 1), IoStatus::kOk);
    ASSERT_EQ(send_message(far_.get(), "c", 1, nullptr, 0), IoStatus::kOk);
    ASSERT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message), IoStatus::kOk);
    const int first = message.fds[0].get();
    ASSERT_EQ(receive_message(near_.get(), buffer_, sizeof buffer_, &message), IoStatus::kOk);
    EXPECT_EQ(message.fd_count, 0U);
    EXPECT_EQ(message.size, 1U);
    EXPECT_FALSE(is_open(first));
}

TEST_F(FdPassing, ThePeerIsWhoTheKernelSays) {
    PeerIdentity peer;
    ASSERT_TRUE(read_peer_identity(near_.get(), &peer));
    EXPECT_EQ(peer.uid, getuid());
    EXPECT_EQ(peer.gid, getgid());
    EXPECT_EQ(peer.pid, getpid());
    const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_FALSE(read_peer_identity(null.get(), &peer));
}

}  // namespace
}  // namespace pycds
