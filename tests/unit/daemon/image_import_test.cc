#include "daemon/core/image_import.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "src/common/os/mapping.h"
#include "src/common/os/sealed_memfd.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::core {
namespace {

UniqueFd output_of(const std::vector<std::byte>& bytes) {
    Result<UniqueFd> fd = create_memfd("output");
    EXPECT_TRUE(fd.ok());
    EXPECT_EQ(write(fd->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return std::move(*fd);
}

fakes::TinyImageOptions tiny() {
    fakes::TinyImageOptions options;
    options.generation = 9;
    return options;
}

// What a tiny image speaks of.
std::string tiny_plan() {
    const std::string directory = "/usr/lib/python3/dist-packages/tiny/";
    std::string out;
    for (const char* name : {"m0000.py", "m0001.py", "no_pyc.py", "stale.py"}) {
        out.append(directory).append(name).push_back('\0');
    }
    return out;
}

ExpectedImage expected() {
    return ExpectedImage{0,       9,          tiny().identity.optimize, wire::Domain::kSystem, 0,
                         1 << 30, tiny_plan()};
}

std::string error_of(const std::vector<std::byte>& bytes, const ExpectedImage& want) {
    const Result<ImportedImage> imported = import_image(output_of(bytes).get(), want);
    EXPECT_FALSE(imported.ok());
    return imported ? "" : imported.error().message;
}

TEST(ImageImport, AValidImageIsCopiedAndSealed) {
    const std::vector<std::byte> bytes = fakes::make_tiny_image(tiny());
    const UniqueFd output = output_of(bytes);
    const Result<ImportedImage> imported = import_image(output.get(), expected());
    ASSERT_TRUE(imported.ok()) << imported.error().message;
    const wire::ImageInfo& info = imported->image.info;
    EXPECT_EQ(info.id, "img-9");
    EXPECT_EQ(info.generation, 9u);
    EXPECT_EQ(info.python, "3.13.5 (tiny)");
    EXPECT_EQ(info.roots, 2u);
    EXPECT_EQ(info.left_out, 2u);
    EXPECT_EQ(info.size, bytes.size());
    EXPECT_EQ(info.requested_base, image::requested_base_of_slot(0));
    const std::vector<uint8_t> digest = fakes::tiny_identity_digest(tiny().identity);
    EXPECT_TRUE(std::equal(digest.begin(), digest.end(), info.identity.begin()));
    ASSERT_EQ(imported->left_out.size(), 2u);
    EXPECT_EQ(imported->left_out[0].reason, "no-pyc");
    EXPECT_EQ(imported->left_out[1].reason, "pyc-stale");

    // Whatever still has the builder's memfd cannot reach what is handed out.
    const std::byte other{0xff};
    ASSERT_EQ(pwrite(output.get(), &other, 1, 0), 1);
    EXPECT_TRUE(has_image_seals(imported->image.fd.get()));
    const Result<Mapping> mapping = Mapping::map_read_only(imported->image.fd.get(), bytes.size());
    ASSERT_TRUE(mapping.ok());
    const Mapping& mapped = *mapping;
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), mapped.bytes().begin()));
}

TEST(ImageImport, MustBeWhatWasAskedFor) {
    const std::vector<std::byte> bytes = fakes::make_tiny_image(tiny());
    const std::string prefix = "the builder made another image than asked for: its ";
    ExpectedImage want = expected();
    want.slot = 1;
    EXPECT_EQ(error_of(bytes, want), prefix + "requested base differs");
    want = expected();
    want.generation = 10;
    EXPECT_EQ(error_of(bytes, want), prefix + "generation differs");
    want = expected();
    want.domain = wire::Domain::kUser;
    EXPECT_EQ(error_of(bytes, want), prefix + "domain differs");
    want = expected();
    ++want.optimize;
    EXPECT_EQ(error_of(bytes, want), prefix + "optimisation level differs");

    fakes::TinyImageOptions user = tiny();
    user.domain = image::DomainKind::kUser;
    user.uid = 1000;
    want = expected();
    want.domain = wire::Domain::kUser;
    want.domain_uid = 1001;
    EXPECT_EQ(error_of(fakes::make_tiny_image(user), want), prefix + "uid of the domain differs");
    want.domain_uid = 1000;
    EXPECT_TRUE(import_image(output_of(fakes::make_tiny_image(user)).get(), want).ok());
}

TEST(ImageImport, HoldsNothingThatWasNotAskedFor) {
    const std::string prefix = "the builder returned a module that was not asked for: ";
    fakes::TinyImageOptions options = tiny();
    options.paths = {"/usr/lib/python3/dist-packages/tiny/m0000.py", "/usr/lib/os.py"};
    EXPECT_EQ(error_of(fakes::make_tiny_image(options), expected()), prefix + "/usr/lib/os.py");
    options = tiny();
    options.left_out = {{"/root/secret.py", image::LeftOutReason::kNoPyc}};
    EXPECT_EQ(error_of(fakes::make_tiny_image(options), expected()), prefix + "/root/secret.py");
    // The beginning of a path is another path.
    options.left_out = {{"/usr/lib", image::LeftOutReason::kPath}};
    EXPECT_EQ(error_of(fakes::make_tiny_image(options), expected()), prefix + "/usr/lib");
    // But of one that is too long an image has the beginning.
    const std::string cut = "/" + std::string(image::kMaxPathSize - 1, 'x');
    ExpectedImage want = expected();
    want.plan += cut + "yy" + '\0';
    options.left_out = {{cut, image::LeftOutReason::kPath}};
    EXPECT_TRUE(import_image(output_of(fakes::make_tiny_image(options)).get(), want).ok());
    options.left_out = {{cut, image::LeftOutReason::kNoPyc}};
    EXPECT_TRUE(error_of(fakes::make_tiny_image(options), want).starts_with(prefix));
}

TEST(ImageImport, GarbageIsSaidToBeSo) {
    EXPECT_EQ(error_of({}, expected()), "the builder wrote no image");
    const std::string garbage = error_of(std::vector<std::byte>(8192, std::byte{7}), expected());
    EXPECT_TRUE(garbage.starts_with("the builder made an image that is not valid: ")) << garbage;
    std::vector<std::byte> flipped = fakes::make_tiny_image(tiny());
    flipped[flipped.size() / 2] ^= std::byte{1};
    EXPECT_FALSE(error_of(flipped, expected()).empty());
}

TEST(ImageImport, TheBudgetCountsBeforeAnythingIsRead) {
    ExpectedImage want = expected();
    want.max_size = 4096;
    const UniqueFd output = output_of({});
    ASSERT_EQ(ftruncate(output.get(), off_t{1} << 40), 0);
    const Result<ImportedImage> imported = import_image(output.get(), want);
    ASSERT_FALSE(imported.ok());
    EXPECT_EQ(imported.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace pycds::core
