// The pages of processes: this one, and some that are not there.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "ctl/pages/process.h"
#include "src/common/image/format.h"
#include "src/common/os/sealed_memfd.h"
#include "support.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::ctl {
namespace {

using testing::HasSubstr;

// An image in a memfd, mapped as a client does where there is room.
class ProcessPagesTest : public testing::Test {
  protected:
    ProcessPagesTest() {
        if (!fs::exists("/proc/self/pagemap")) return;
        Result<UniqueFd> fd = make_sealed_copy("pycds-img-42", bytes_);
        EXPECT_TRUE(fd);
        if (fd) fd_ = std::move(*fd);
    }
    ~ProcessPagesTest() override {
        if (mapped_ != nullptr) munmap(mapped_, bytes_.size());
    }

    void SetUp() override {
        if (!fd_) GTEST_SKIP() << "/proc is not mounted";
    }

    bool map(uint64_t address = 0) {
        void* const at = mmap(reinterpret_cast<void*>(address), bytes_.size(),
                              PROT_READ | PROT_WRITE, MAP_PRIVATE, fd_.get(), 0);
        if (at == MAP_FAILED) return false;
        mapped_ = static_cast<unsigned char*>(at);
        return address == 0 || reinterpret_cast<uint64_t>(at) == address;
    }

    void read_page(uint64_t page) const {
        [[maybe_unused]] const unsigned char seen =
            *static_cast<const volatile unsigned char*>(mapped_ + page * image::kPageSize);
    }
    void write_page(uint64_t page) const {
        volatile unsigned char* const at = mapped_ + page * image::kPageSize;
        *at = static_cast<unsigned char>(*at + 1);
    }

    LoadedImage image() const {
        Result<LoadedImage> image = load_sealed(fd_.get(), "img-42");
        EXPECT_TRUE(image);
        return std::move(*image);
    }

    std::vector<std::byte> bytes_ = fakes::make_tiny_image();
    UniqueFd fd_;
    unsigned char* mapped_ = nullptr;
};

uint64_t count(const std::vector<PageState>& states, PageState state) {
    return static_cast<uint64_t>(std::count(states.begin(), states.end(), state));
}

TEST_F(ProcessPagesTest, WhatIsWrittenIsDirty) {
    ASSERT_TRUE(map());
    const uint64_t pages = bytes_.size() / image::kPageSize;
    Result<std::vector<PageState>> states = read_process_pages(getpid(), image(), "img-42");
    ASSERT_TRUE(states) << states.error().message;
    EXPECT_EQ(states->size(), pages);
    EXPECT_EQ(count(*states, PageState::kAbsent), pages);

    read_page(0);
    write_page(2);
    states = read_process_pages(getpid(), image(), "img-42");
    ASSERT_TRUE(states);
    EXPECT_EQ(states.value()[0], PageState::kShared);
    EXPECT_EQ(states.value()[2], PageState::kDirty);
    EXPECT_EQ(count(*states, PageState::kDirty), 1U);
}

TEST_F(ProcessPagesTest, PartsMayBeMappedElsewhereOrNotAtAll) {
    ASSERT_TRUE(map());
    write_page(1);
    ASSERT_EQ(munmap(mapped_ + image::kPageSize, image::kPageSize), 0);
    Result<std::vector<PageState>> states = read_process_pages(getpid(), image(), "img-42");
    ASSERT_TRUE(states) << states.error().message;
    EXPECT_EQ(states.value()[1], PageState::kAbsent);
}

TEST_F(ProcessPagesTest, ACopyIsKnownByItsContents) {
    const TempDir directory;
    const auto saved = [&](const std::vector<std::byte>& bytes) {
        return load_file(directory.file(
            "image", std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
    };
    if (!map(image::requested_base_of_slot(0))) GTEST_SKIP() << "no room at the requested base";
    write_page(1);
    Result<LoadedImage> same = saved(bytes_);
    ASSERT_TRUE(same);
    Result<std::vector<PageState>> states = read_process_pages(getpid(), *same, "./image");
    if (!states && states.error().code == ErrorCode::kPermissionDenied) {
        GTEST_SKIP() << states.error().message;
    }
    ASSERT_TRUE(states) << states.error().message;
    EXPECT_EQ(states.value()[1], PageState::kDirty);

    fakes::TinyImageOptions options;
    options.generation = 2;
    Result<LoadedImage> other = saved(fakes::make_tiny_image(options));
    ASSERT_TRUE(other);
    states = read_process_pages(getpid(), *other, "./image");
    ASSERT_FALSE(states);
    EXPECT_EQ(states.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(states.error().message, HasSubstr("does not map ./image (it maps img-42)"));
}

TEST_F(ProcessPagesTest, WhoDoesNotMapIt) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd from(ends[0]);
    UniqueFd to(ends[1]);
    // Not this process: to look at an image is to map it.
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        to.reset();
        char end = 0;
        _exit(read(from.get(), &end, 1) == 0 ? 0 : 1);
    }
    Result<std::vector<PageState>> states = read_process_pages(child, image(), "image img-42");
    to.reset();
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
    ASSERT_FALSE(states);
    EXPECT_EQ(states.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(states.error().message, HasSubstr("does not map image img-42 (it maps none"));
}

TEST_F(ProcessPagesTest, WhoIsGone) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(0);
    siginfo_t info{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
    Result<std::vector<PageState>> states = read_process_pages(child, image(), "img-42");
    ASSERT_FALSE(states);
    EXPECT_EQ(states.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(states.error().message, HasSubstr(std::to_string(child)));

    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    states = read_process_pages(child, image(), "img-42");
    ASSERT_FALSE(states);
    EXPECT_EQ(states.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(states.error().message, HasSubstr("there is no process " + std::to_string(child)));
}

}  // namespace
}  // namespace pycds::ctl
