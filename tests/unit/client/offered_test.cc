// client/builder/offered.h over real sockets.
#include "client/builder/offered.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "src/common/image/offered_file.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::builder {
namespace {

using image::LeftOutReason;
using namespace std::string_literals;

constexpr uint32_t kMagic = 0x0a0d0da7;

std::string pyc(uint32_t flags = 0, uint32_t source_mtime = 1000, const std::string& body = "body") {
    std::string out;
    for (const uint32_t field : {kMagic, flags, source_mtime, 7U}) {
        for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(field >> (8 * i)));
    }
    return out + body;
}

image::OfferedFile file(uint64_t size) {
    return {1, 2, size, 3, 4, 1'000'000'000'999, 7};
}

std::string source(const std::string& path, const std::string& contents,
                   const image::OfferedFile& about) {
    return "\0"s + path + "\0"s +
           std::string(reinterpret_cast<const char*>(&about), sizeof about) + contents;
}

std::string source(const std::string& path, const std::string& contents = pyc()) {
    return source(path, contents, file(contents.size()));
}

class OfferedTest : public testing::Test {
  protected:
    void SetUp() override {
        int ends[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        peer_.reset(ends[0]);
        builder_.reset(ends[1]);
        like_.cache_tag = "t";
        like_.magic_number = kMagic;
    }

    // The peer sends all that in pieces, and closes its end.
    Result<std::vector<OfferedSource>> offer(const std::string& bytes, size_t piece = SIZE_MAX) {
        std::thread sender([&] {
            for (size_t at = 0; at < bytes.size();) {
                const size_t size = std::min(piece, bytes.size() - at);
                const ssize_t n = send(peer_.get(), bytes.data() + at, size, MSG_NOSIGNAL);
                if (n < 0) break;
                at += static_cast<size_t>(n);
            }
            shutdown(peer_.get(), SHUT_WR);
        });
        Result<std::vector<OfferedSource>> out = receive_offered(builder_.get(), like_, limits_);
        builder_.reset();
        sender.join();
        return out;
    }

    // Why the only source is left out; 0: it is not.
    LeftOutReason reason_of(const std::string& bytes) {
        SetUp();
        const Result<std::vector<OfferedSource>> got = offer(bytes);
        if (!got.ok() || got->size() != 1) return LeftOutReason{99};
        return got->front().reason.value_or(LeftOutReason{});
    }

    std::string error_of(const std::string& bytes) {
        SetUp();
        const Result<std::vector<OfferedSource>> got = offer(bytes);
        return got.ok() ? "(none)" : got.error().message;
    }

    UniqueFd peer_;
    UniqueFd builder_;
    PycRequest like_;
    OfferLimits limits_;
};

TEST_F(OfferedTest, TakesWhatIsSentHoweverItIsCut) {
    const std::string large = pyc(0, 1000, std::string(70'000, 'x'));
    const std::string all = source("/a.py") + "\2/b.py\0"s + source("/d/c.py", large);
    for (const size_t piece : {SIZE_MAX, size_t{1}, size_t{7}, size_t{65536}}) {
        SetUp();
        const Result<std::vector<OfferedSource>> got = offer(all, piece);
        ASSERT_TRUE(got.ok()) << got.error().message;
        ASSERT_EQ(got->size(), 3u);
        const OfferedSource& first = got->at(0);
        EXPECT_EQ(first.path, "/a.py");
        EXPECT_EQ(first.reason, std::nullopt);
        EXPECT_EQ(first.file.path, "/__pycache__/a.t.pyc");
        EXPECT_EQ(std::string(first.file.data.begin(), first.file.data.end()), pyc());
        EXPECT_EQ(first.file.dev, 1u);
        EXPECT_EQ(first.file.ino, 2u);
        EXPECT_EQ(first.file.size, pyc().size());
        EXPECT_EQ(first.file.mtime_ns, 3);
        EXPECT_EQ(first.file.ctime_ns, 4);
        EXPECT_EQ(first.file.source_mtime, 1000u);
        EXPECT_EQ(first.file.source_size, 7u);
        EXPECT_EQ(got->at(1).path, "/b.py");
        EXPECT_EQ(got->at(1).reason, LeftOutReason::kNoPyc);
        EXPECT_EQ(got->at(2).reason, std::nullopt);
        EXPECT_EQ(got->at(2).file.data.size(), large.size());
    }
}

TEST_F(OfferedTest, NothingIsNothing) {
    const Result<std::vector<OfferedSource>> got = offer("");
    ASSERT_TRUE(got.ok());
    EXPECT_TRUE(got->empty());
}

TEST_F(OfferedTest, OfAPathThatComesTwiceTheFirstCounts) {
    const Result<std::vector<OfferedSource>> got = offer(source("/a.py") + "\2/a.py\0"s);
    ASSERT_TRUE(got.ok());
    ASSERT_EQ(got->size(), 1u);
    EXPECT_EQ(got->front().reason, std::nullopt);
}

TEST_F(OfferedTest, AFileIsJudgedAsOneThatTheBuilderOpens) {
    EXPECT_EQ(reason_of(source("/a.py")), LeftOutReason{});
    EXPECT_EQ(reason_of(source("/a.py", pyc(0, 1001))), LeftOutReason::kPycStale);
    EXPECT_EQ(reason_of(source("/a.py", pyc(1, 0))), LeftOutReason{}) << "unchecked hash";
    EXPECT_EQ(reason_of(source("/a.py", pyc(3))), LeftOutReason::kPycCheckedHash);
    EXPECT_EQ(reason_of(source("/a.py", pyc(4))), LeftOutReason::kPycCorrupt);
    EXPECT_EQ(reason_of(source("/a.py", pyc().substr(0, 15))), LeftOutReason::kPycCorrupt);
    EXPECT_EQ(reason_of(source("/a.py", "")), LeftOutReason::kPycCorrupt);
    EXPECT_EQ(reason_of(source("/a.py", std::string(40, 'x'))), LeftOutReason::kPycMagic);
    EXPECT_EQ(reason_of(source("a.py")), LeftOutReason::kPath);
    EXPECT_EQ(reason_of(source("/" + std::string(4095, 'x'))), LeftOutReason::kPath);
    EXPECT_EQ(reason_of(source("/" + std::string(4094, 'x'))), LeftOutReason{});
    image::OfferedFile about = file(pyc().size());
    about.source_size = 8;
    EXPECT_EQ(reason_of(source("/a.py", pyc(), about)), LeftOutReason::kPycStale);
    for (const int64_t time : {INT64_MIN, int64_t{-1}, INT64_MAX}) {
        about.source_mtime_ns = time;
        EXPECT_EQ(reason_of(source("/a.py", pyc(), about)), LeftOutReason::kPycStale);
    }
}

TEST_F(OfferedTest, WhatIsNoSourceIsNone) {
    image::OfferedFile large = file(uint64_t{image::kMaxPycSize} + 1);
    const std::string good = source("/a.py");
    for (const std::string& bytes :
         {"\0"s, "\1"s, "\15/a.py\0"s, "\xff/a.py\0"s, "\1/a.py"s, "\1\0"s, "\0\0"s, "\0/a.py\0"s,
          "\1/"s + std::string(70'000, 'x') + "\0"s, source("/b.py", "", large), good + good.substr(0, 9),
          good + "\0"s}) {
        EXPECT_EQ(error_of(bytes), "what came instead of sources is none") << bytes.substr(0, 20);
    }
    for (size_t size = 1; size < good.size(); ++size) {
        EXPECT_EQ(error_of(good.substr(0, size)), "what came instead of sources is none") << size;
    }
}

TEST_F(OfferedTest, AClaimedSizeTakesNoMemory) {
    EXPECT_EQ(error_of(source("/a.py", pyc(), file(uint64_t{image::kMaxPycSize}))),
              "what came instead of sources is none");
}

TEST_F(OfferedTest, ThereIsALimitOfAll) {
    limits_.max_bytes = 1 << 20;
    const std::string half = source("/a.py", pyc(0, 1000, std::string(1 << 19, 'x')));
    EXPECT_EQ(error_of(half), "(none)");
    EXPECT_EQ(error_of(half + half), "sources of more than 1 MiB are too many: build fewer modules");
}

TEST_F(OfferedTest, WhoSendsNothingIsNotWaitedFor) {
    limits_.patience = std::chrono::milliseconds{20};
    ASSERT_EQ(send(peer_.get(), "\1/a", 3, 0), 3);
    const Result<std::vector<OfferedSource>> got = receive_offered(builder_.get(), like_, limits_);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().message, "who offered sources sent nothing for 20 ms");
}

TEST_F(OfferedTest, WhoGoesAwayIsNotWaitedFor) {
    ASSERT_EQ(send(peer_.get(), "\1/a", 3, 0), 3);
    peer_.reset();
    EXPECT_FALSE(receive_offered(builder_.get(), like_, limits_).ok());
}

int lowest_free_descriptor() {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

TEST_F(OfferedTest, DescriptorsAreNeverOurs) {
    int pipe_ends[2];
    ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    Result<UniqueFd> memfd = create_memfd("x");
    ASSERT_TRUE(memfd.ok());
    UniqueFd kinds[] = {UniqueFd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                        UniqueFd(open("/etc/passwd", O_RDONLY | O_CLOEXEC)),
                        UniqueFd(pipe_ends[0]),
                        UniqueFd(pipe_ends[1]),
                        UniqueFd(eventfd(0, EFD_CLOEXEC)),
                        UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                        std::move(*memfd)};
    const std::string bytes = source("/a.py");
    std::vector<int> numbers;
    for (const UniqueFd& fd : kinds) numbers.push_back(fd.get());
    ASSERT_EQ(send_message(peer_.get(), bytes.data(), 9, numbers.data(), numbers.size()), IoStatus::kOk);
    ASSERT_EQ(send(peer_.get(), bytes.data() + 9, bytes.size() - 9, 0),
              static_cast<ssize_t>(bytes.size() - 9));
    shutdown(peer_.get(), SHUT_WR);
    const int before = lowest_free_descriptor();
    const Result<std::vector<OfferedSource>> got = receive_offered(builder_.get(), like_, limits_);
    ASSERT_TRUE(got.ok()) << got.error().message;
    EXPECT_EQ(got->size(), 1u);
    EXPECT_EQ(lowest_free_descriptor(), before);
}

}  // namespace
}  // namespace pycds::builder
