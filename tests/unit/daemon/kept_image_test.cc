// Images that come back: from a descriptor store, from a file.
#include "daemon/core/kept_image.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "daemon/core/image_import.h"
#include "src/common/os/sealed_memfd.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::core {
namespace {

using Bytes = std::vector<std::byte>;

UniqueFd sealed(const Bytes& bytes) {
    Result<UniqueFd> fd = make_sealed_copy("test", bytes);
    EXPECT_TRUE(fd.ok());
    return std::move(*fd);
}

KeptName name_of(const Bytes& bytes) {
    image::Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    StoredImage image;
    image.info = describe_image(header);
    image.info.published_unix_ms = 1234;
    image.origin = {11, 22};
    image.checksum = header.prefix.checksum;
    return kept_name(image, "1.2.3");
}

TEST(KeptName, IsReadBackFromItsText) {
    const KeptName name = name_of(fakes::make_tiny_image());
    const std::string text = name.text();
    EXPECT_LE(text.size(), 200u);
    EXPECT_EQ(text.find_first_of("/: \n"), std::string::npos) << text;
    const std::optional<KeptName> again = KeptName::parse(text);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->text(), text);
    EXPECT_EQ(again->origin, (Origin{11, 22}));
    EXPECT_EQ(again->published_unix_ms, 1234u);
    EXPECT_EQ(again->version, "1.2.3");
    EXPECT_EQ(again->domain, "system");
}

TEST(KeptName, NothingElseIsOne) {
    const std::string good = name_of(fakes::make_tiny_image()).text();
    for (size_t i = 0; i < good.size(); ++i) {
        // A shorter version is a version.
        EXPECT_TRUE(i > good.rfind('.') + 1 || !KeptName::parse(good.substr(0, i))) << i;
        std::string bad = good;
        bad[i] = '/';
        const std::optional<KeptName> parsed = KeptName::parse(bad);
        // The version alone may be anything.
        EXPECT_TRUE(!parsed || i > good.rfind('.')) << bad;
    }
    EXPECT_FALSE(KeptName::parse(good + ".x"));
    EXPECT_FALSE(KeptName::parse(good + std::string(200, 'x')));
    EXPECT_FALSE(KeptName::parse("connection"));
}

TEST(RestoreImage, TheOneThatWasKept) {
    fakes::TinyImageOptions options;
    options.generation = 9;
    const Bytes bytes = fakes::make_tiny_image(options);
    for (const Belief belief : {Belief::kSealedByUs, Belief::kNothing}) {
        const Result<NewImage> image = restore_image(sealed(bytes), name_of(bytes), belief);
        ASSERT_TRUE(image.ok()) << image.error().message;
        EXPECT_EQ(image->info.id, "img-9");
        EXPECT_EQ(image->info.roots, 2u);
        EXPECT_EQ(image->info.size, bytes.size());
        EXPECT_EQ(image->info.published_unix_ms, 1234u);
        EXPECT_EQ(image->origin, (Origin{11, 22}));
        EXPECT_TRUE(has_image_seals(image->fd.get()));
        EXPECT_FALSE(image->ends_with_boot);
    }
}

TEST(RestoreImage, OneForAHashSeedEndsWithTheBoot) {
    fakes::TinyImageOptions options;
    options.filled_frozensets = true;
    const Bytes bytes = fakes::make_tiny_image(options);
    const Result<NewImage> image = restore_image(sealed(bytes), name_of(bytes), Belief::kNothing);
    ASSERT_TRUE(image.ok()) << image.error().message;
    EXPECT_TRUE(image->ends_with_boot);
}

TEST(RestoreImage, NoByteMayBeAnother) {
    const Bytes good = fakes::make_tiny_image();
    const KeptName name = name_of(good);
    // One in each page, wherever it is, and all of the header.
    for (size_t at = 0; at < good.size(); at += at < sizeof(image::Header) ? 1 : 997) {
        Bytes bytes = good;
        bytes[at] ^= std::byte{0x10};
        for (const Belief belief : {Belief::kSealedByUs, Belief::kNothing}) {
            const Result<NewImage> image = restore_image(sealed(bytes), name, belief);
            ASSERT_FALSE(image.ok()) << "byte " << at;
            EXPECT_EQ(image.error().code, ErrorCode::kCorrupt);
        }
    }
}

TEST(RestoreImage, NorMayThereBeMoreOrLess) {
    const Bytes good = fakes::make_tiny_image();
    const KeptName name = name_of(good);
    for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, good.size() - 4096,
                              good.size() - 1, good.size() + 4096}) {
        Bytes bytes = good;
        bytes.resize(size);
        EXPECT_FALSE(restore_image(sealed(bytes), name, Belief::kSealedByUs).ok()) << size;
        EXPECT_FALSE(restore_image(sealed(bytes), name, Belief::kNothing).ok()) << size;
    }
}

TEST(RestoreImage, MustBeSealedAndBeWhatItsNameSays) {
    const Bytes bytes = fakes::make_tiny_image();
    Result<UniqueFd> open = create_memfd("test");
    ASSERT_TRUE(open.ok());
    ASSERT_EQ(write(open->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    EXPECT_FALSE(restore_image(std::move(*open), name_of(bytes), Belief::kSealedByUs).ok());

    KeptName other = name_of(bytes);
    other.domain = "user-0";
    EXPECT_FALSE(restore_image(sealed(bytes), other, Belief::kSealedByUs).ok());
    other = name_of(bytes);
    other.identity[0] = other.identity[0] == '0' ? '1' : '0';
    EXPECT_FALSE(restore_image(sealed(bytes), other, Belief::kSealedByUs).ok());
    other = name_of(bytes);
    ++other.checksum;
    EXPECT_FALSE(restore_image(sealed(bytes), other, Belief::kNothing).ok());
}

TEST(RestoreImage, TheValidatorHasTheLastWordWhereAnotherVersionHadIt) {
    // What a daemon with a weaker validator might have let through: right checksums, wrong
    // pointers.
    Bytes bytes = fakes::make_tiny_image();
    image::Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    bytes[header.objects_begin + 8] ^= std::byte{0x08};
    fakes::fix_checksums(bytes);
    EXPECT_FALSE(restore_image(sealed(bytes), name_of(bytes), Belief::kNothing).ok());
}

TEST(RebaseImage, IsAnotherImageOfTheSameName) {
    const Bytes bytes = fakes::make_tiny_image();
    const KeptName name = name_of(bytes);
    Result<NewImage> image = restore_image(sealed(bytes), name, Belief::kNothing);
    ASSERT_TRUE(image);
    const Result<NewImage> moved = rebase_image(*image, image::kCommonBaseBegin);
    ASSERT_TRUE(moved);
    EXPECT_EQ(moved->info.id, image->info.id);
    EXPECT_EQ(moved->info.published_unix_ms, image->info.published_unix_ms);
    EXPECT_EQ(moved->info.runtime_base, image::kCommonBaseBegin);
    EXPECT_EQ(moved->origin, image->origin);
    EXPECT_NE(moved->checksum, image->checksum);
    // It is as good as one that a builder made.
    UniqueFd copy(dup(moved->fd.get()));
    const KeptName moved_name = kept_name(*moved, "1.2.3");
    EXPECT_TRUE(restore_image(std::move(copy), moved_name, Belief::kNothing));
}

}  // namespace
}  // namespace pycds::core
