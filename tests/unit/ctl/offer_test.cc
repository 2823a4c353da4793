// What pycdsctl offers is what a builder takes.
#include "ctl/offer.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "client/builder/offered.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::ctl {
namespace {

using image::LeftOutReason;

constexpr uint32_t kMagic = 0x0a0d0da7;

class OfferTest : public testing::Test {
  protected:
    void SetUp() override {
        char pattern[] = "/tmp/pycds-offer-XXXXXX";
        directory_ = mkdtemp(pattern);
        std::filesystem::create_directory(directory_ / "__pycache__");
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    // A source that is not the system's, whoever runs the test.
    std::string source(const std::string& name, bool with_pyc) {
        const std::string path = directory_ / (name + ".py");
        std::ofstream(path) << "x = 1\n";
        chmod(path.c_str(), 0664);
        if (!with_pyc) return path;
        struct stat st {};
        stat(path.c_str(), &st);
        std::ofstream pyc(directory_ / "__pycache__" / (name + ".t.pyc"), std::ios::binary);
        for (const uint32_t field : {kMagic, 0U, static_cast<uint32_t>(st.st_mtim.tv_sec), 6U}) {
            for (int i = 0; i < 4; ++i) pyc.put(static_cast<char>(field >> (8 * i)));
        }
        pyc << name;
        return path;
    }

    static Result<OwnSources> own_of(const std::vector<std::string>& paths) {
        std::string plan;
        for (const std::string& path : paths) plan.append(path).push_back('\0');
        const Result<UniqueFd> fd = create_memfd("plan");
        EXPECT_EQ(write(fd->get(), plan.data(), plan.size()), static_cast<ssize_t>(plan.size()));
        return own_sources(fd->get());
    }

    std::filesystem::path directory_;
};

TEST_F(OfferTest, WhatIsRootsAloneIsTheSystems) {
    const std::string own = source("a", false);
    const Result<OwnSources> found = own_of({"/etc/passwd", own, "/nowhere.py"});
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->of_the_system, 1u);
    EXPECT_EQ(found->paths, (std::vector<std::string>{own, "/nowhere.py"}));
    const Result<OwnSources> none = own_of({"/etc/passwd"});
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
}

TEST_F(OfferTest, ABuilderTakesIt) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd builder(ends[1]);
    const std::string good = source("good", true);
    const std::string without = source("without", false);
    const std::string odd = source("odd", false);
    std::filesystem::create_directory(directory_ / "__pycache__" / "odd.t.pyc");
    const std::string gone = source("gone", true);
    std::filesystem::remove(gone);
    const std::string stale = source("stale", true);
    std::ofstream(stale, std::ios::app) << "y = 2\n";
    Offer offer({good, without, odd, gone, stale}, "t", 0);
    offer.start(UniqueFd(ends[0]));
    builder::PycRequest like;
    like.cache_tag = "t";
    like.magic_number = kMagic;
    const Result<std::vector<builder::OfferedSource>> got =
        builder::receive_offered(builder.get(), like);
    ASSERT_TRUE(got.ok()) << got.error().message;
    ASSERT_EQ(got->size(), 5u);
    EXPECT_EQ(got->at(0).reason, std::nullopt);
    struct stat st {};
    ASSERT_EQ(stat((directory_ / "__pycache__" / "good.t.pyc").c_str(), &st), 0);
    EXPECT_EQ(got->at(0).file.ino, st.st_ino);
    EXPECT_EQ(got->at(0).file.size, static_cast<uint64_t>(st.st_size));
    EXPECT_EQ(got->at(0).file.data.size(), 20u);
    EXPECT_EQ(got->at(1).reason, LeftOutReason::kNoPyc);
    EXPECT_EQ(got->at(2).reason, LeftOutReason::kPycUnreadable);
    EXPECT_EQ(got->at(3).reason, LeftOutReason::kNoSource);
    EXPECT_EQ(got->at(4).reason, LeftOutReason::kPycStale);
}

TEST_F(OfferTest, WhereNobodyTakesItItEnds) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd builder(ends[1]);
    Offer offer(std::vector<std::string>(100'000, source("a", true)), "t", 0);
    offer.start(UniqueFd(ends[0]));
}

}  // namespace
}  // namespace pycds::ctl
