#include "daemon/keep/disk_cache.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "daemon/core/image_import.h"
#include "daemon/core/kept_image.h"
#include "src/common/os/sealed_memfd.h"
#include "tests/fakes/fake_worker.h"
#include "tests/fakes/tiny_image.h"
#include "tests/unit/daemon/temp_dir.h"

namespace pycds::keep {
namespace {

using core::NewImage;
using core::StoredImage;
using test::read_file;
using test::TempDir;

StoredImage stored(uint8_t interpreter, uint64_t generation) {
    fakes::TinyImageOptions options;
    options.generation = generation;
    options.identity = fakes::tiny_identity(interpreter);
    const std::vector<std::byte> bytes = fakes::make_tiny_image(options);
    image::Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    Result<UniqueFd> fd = make_sealed_copy("test", bytes);
    EXPECT_TRUE(fd.ok());
    StoredImage out;
    out.info = core::describe_image(header);
    out.info.published_unix_ms = 77;
    out.fd = std::make_shared<const UniqueFd>(std::move(*fd));
    out.origin = {interpreter, 5};
    out.checksum = header.prefix.checksum;
    return out;
}

class DiskCacheTest : public testing::Test {
  protected:
    DiskCacheTest() { chmod(dir_.path().c_str(), 0700); }

    std::vector<NewImage> load(const std::vector<StoredImage>& there = {}) {
        std::vector<NewImage> out;
        int calls = 0;
        cache_.load(there, [&](std::vector<NewImage> images) {
            out = std::move(images);
            ++calls;
        });
        worker_.run_all();
        EXPECT_EQ(calls, 1);
        return out;
    }

    void keep(const StoredImage& image) {
        cache_.keep(image);
        worker_.run_all();
    }

    std::vector<std::string> files() const {
        std::vector<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
            out.push_back(entry.path().filename());
        }
        std::sort(out.begin(), out.end());
        return out;
    }

    TempDir dir_;
    fakes::FakeWorker worker_;
    DiskCache cache_{worker_, dir_.path(), "1.0"};
};

TEST_F(DiskCacheTest, GivesBackWhatItWasGiven) {
    keep(stored(1, 4));
    keep(stored(2, 5));
    ASSERT_EQ(files().size(), 2u);
    const std::vector<NewImage> images = load();
    ASSERT_EQ(images.size(), 2u);
    for (const NewImage& image : images) {
        EXPECT_TRUE(has_image_seals(image.fd.get()));
        EXPECT_EQ(image.info.published_unix_ms, 77u);
        EXPECT_EQ(image.origin.fingerprint, 5u);
    }
    EXPECT_EQ(files().size(), 2u);
}

TEST_F(DiskCacheTest, ForgetsTheFileWithTheImage) {
    const StoredImage image = stored(1, 4);
    keep(image);
    cache_.forget(image);
    worker_.run_all();
    EXPECT_TRUE(files().empty());
}

TEST_F(DiskCacheTest, WhatEndsWithTheBootIsOnNoDisk) {
    StoredImage image = stored(1, 4);
    image.ends_with_boot = true;
    keep(image);
    EXPECT_TRUE(load({image}).empty());
    EXPECT_TRUE(files().empty());
    cache_.forget(image);
    worker_.run_all();
    EXPECT_TRUE(files().empty());
}

TEST_F(DiskCacheTest, OneFlippedByteIsAsGoodAsNoFile) {
    keep(stored(1, 4));
    const std::string path = dir_ / files().front();
    const std::string good = read_file(path);
    for (const size_t at : {size_t{0}, size_t{9}, size_t{40}, size_t{5000}, good.size() - 1}) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        test::write_file(path, bad, 0600);
        EXPECT_TRUE(load().empty()) << at;
        EXPECT_TRUE(files().empty()) << "a bad file goes";
    }
}

TEST_F(DiskCacheTest, NorIsHalfAFile) {
    keep(stored(1, 4));
    const std::string path = dir_ / files().front();
    const std::string good = read_file(path);
    for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, good.size() - 1}) {
        test::write_file(path, good.substr(0, size), 0600);
        EXPECT_TRUE(load().empty()) << size;
    }
    // Where writing was interrupted, the name says so.
    test::write_file(path + ".new", good, 0600);
    EXPECT_TRUE(load().empty());
    EXPECT_TRUE(files().empty());
}

TEST_F(DiskCacheTest, FilesOfOthersAreNotBelieved) {
    keep(stored(1, 4));
    const std::string name = files().front();
    ASSERT_EQ(chmod((dir_ / name).c_str(), 0622), 0);
    EXPECT_TRUE(load().empty());

    keep(stored(1, 4));
    std::filesystem::rename(dir_ / name, dir_ / "elsewhere");
    std::filesystem::create_symlink(dir_ / "elsewhere", dir_ / name);
    EXPECT_TRUE(load().empty());
    EXPECT_EQ(files(), std::vector<std::string>{"elsewhere"}) << "what is not ours stays";

    ASSERT_EQ(mkfifo((dir_ / name).c_str(), 0600), 0);
    EXPECT_TRUE(load().empty()) << "and nothing hangs";
}

TEST_F(DiskCacheTest, ADirectoryThatOthersCanWriteIsNotUsed) {
    ASSERT_EQ(chmod(dir_.path().c_str(), 0777), 0);
    keep(stored(1, 4));
    EXPECT_TRUE(files().empty());
    EXPECT_TRUE(load().empty());
}

TEST_F(DiskCacheTest, ADirectoryThatIsNotThereHurtsNobody) {
    std::filesystem::remove(dir_.path());
    keep(stored(1, 4));
    EXPECT_TRUE(load().empty());
}

TEST_F(DiskCacheTest, WhatIsInTheStoreIsNotReadAgain) {
    const StoredImage same = stored(1, 4);
    const StoredImage replaced = stored(2, 5);
    keep(same);
    keep(replaced);
    keep(stored(3, 6));
    const StoredImage newer = stored(2, 7);
    const StoredImage not_yet_written = stored(4, 8);
    const std::vector<NewImage> images = load({same, newer, not_yet_written});
    ASSERT_EQ(images.size(), 1u);
    EXPECT_EQ(images[0].info.id, "img-6");
    std::vector<std::string> expected;
    for (const StoredImage& image : {same, newer, not_yet_written, stored(3, 6)}) {
        expected.push_back(kept_name(image, "1.0").text());
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(files(), expected);
}

TEST_F(DiskCacheTest, AFileOfAnotherVersionIsForgottenWithItsImage) {
    const StoredImage image = stored(1, 4);
    DiskCache before(worker_, dir_.path(), "0.9");
    before.keep(image);
    worker_.run_all();
    ASSERT_EQ(load().size(), 1u);
    ASSERT_EQ(files(), std::vector<std::string>{kept_name(image, "1.0").text()});
    cache_.forget(image);
    worker_.run_all();
    EXPECT_TRUE(files().empty()) << "it would come back with every start, whatever replaced it";
}

TEST_F(DiskCacheTest, OfSeveralForOneKeyTheNewestCounts) {
    // By name the older ones come first and last.
    StoredImage older = stored(1, 4);
    StoredImage newest = stored(1, 5);
    StoredImage oldest = stored(1, 6);
    older.origin.fingerprint = 1;
    newest.origin.fingerprint = 2;
    oldest.origin.fingerprint = 3;
    newest.info.published_unix_ms = 79;
    older.info.published_unix_ms = 78;
    for (const StoredImage& image : {older, newest, oldest}) keep(image);
    const std::vector<NewImage> images = load();
    ASSERT_EQ(images.size(), 1u);
    EXPECT_EQ(images[0].info.id, "img-5");
    EXPECT_EQ(files(), std::vector<std::string>{kept_name(newest, "1.0").text()});
}

TEST_F(DiskCacheTest, OneFileAfterTheOther) {
    keep(stored(1, 4));
    keep(stored(2, 5));
    int calls = 0;
    cache_.load({stored(3, 6)}, [&](std::vector<NewImage> images) {
        EXPECT_EQ(images.size(), 2u);
        ++calls;
    });
    int pieces = 0;
    while (worker_.run_one()) ++pieces;
    EXPECT_GE(pieces, 4) << "so that the worker can say in between that it lives";
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(files().size(), 3u);
}

TEST_F(DiskCacheTest, AFullDiskLeavesNothingHalfWritten) {
    // The limit of a process stands in for that of the disk: write(2) fails in the middle.
    const StoredImage image = stored(1, 4);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{4096, 4096};
        setrlimit(RLIMIT_FSIZE, &limit);
        keep(image);
        _exit(files().empty() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace pycds::keep
