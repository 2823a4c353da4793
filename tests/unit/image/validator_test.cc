// What the validator accepts, and that no damage passes it. Each kind of defect: defects_test.cc.
#include "src/common/image/validator.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "src/common/image/object_layout.h"
#include "tests/fakes/image_walk.h"
#include "tests/fakes/tiny_image.h"
#include "tests/unit/image/forge.h"

namespace pycds::image {
namespace {

using fakes::make_tiny_image;
using fakes::TinyImageOptions;

std::string verdict_text(const Verdict& verdict) {
    return std::string(defect_text(verdict.defect)) + " at " + std::to_string(verdict.offset);
}

void expect_valid(const std::vector<std::byte>& image) {
    const Verdict whole = validate_image(image.data(), image.size());
    EXPECT_TRUE(whole.ok()) << verdict_text(whole);
    const Verdict header = validate_header(image.data(), image.size());
    EXPECT_TRUE(header.ok()) << verdict_text(header);
    EXPECT_EQ(fakes::walk_image(image), "");
}

TEST(Validator, AcceptsImagesOfAnyNumberOfRoots) {
    for (const size_t roots : {0U, 1U, 2U, 3U, 4U, 7U, 8U, 100U, 1000U}) {
        SCOPED_TRACE(roots);
        expect_valid(make_tiny_image({.roots = roots}));
    }
}

TEST(Validator, AcceptsEveryOption) {
    expect_valid(make_tiny_image({.domain = DomainKind::kUser, .uid = 1000}));
    expect_valid(make_tiny_image({.domain = DomainKind::kUser, .uid = 0}));
    expect_valid(make_tiny_image({.base = requested_base_of_slot(kSlots - 1), .generation = 0}));
    expect_valid(make_tiny_image({.first_co_version = 0}));
    expect_valid(make_tiny_image({.identity = fakes::tiny_identity(200)}));
    expect_valid(make_tiny_image({.left_out = {}}));
    expect_valid(make_tiny_image({.roots = 0, .left_out = {}}));
    expect_valid(make_tiny_image({.paths = {{"/\xff\xfe.py", "/b", "/a/\n.py"}}}));
    expect_valid(make_tiny_image({.extra_bytes = 100'000}));
    expect_valid(make_tiny_image(
        {.left_out = {{"/a", LeftOutReason::kDuplicate}, {"/a", LeftOutReason::kDuplicate}}}));
}

TEST(Validator, AcceptsAnyBytesAsAPathThatIsNone) {
    const std::string with_nul("/a\0b", 4);
    expect_valid(make_tiny_image({.left_out = {{"relative.py", LeftOutReason::kPath},
                                               {"", LeftOutReason::kPath},
                                               {with_nul, LeftOutReason::kPath}}}));
}

TEST(Validator, AcceptsTheLongestPathAndNoLonger) {
    const auto path = [](size_t size) { return "/" + std::string(size - 1, 'x'); };
    expect_valid(make_tiny_image({.paths = {{path(kMaxPathSize - 40)}}}));
    expect_valid(make_tiny_image({.left_out = {{path(kMaxPathSize), LeftOutReason::kNoPyc}}}));
    const auto image =
        make_tiny_image({.left_out = {{path(kMaxPathSize + 1), LeftOutReason::kNoPyc}}});
    EXPECT_EQ(validate_image(image.data(), image.size()).defect, Defect::kLeftOutEntry);
}

TEST(Validator, AcceptsZeroPagesBetweenRegions) {
    // All but the header moves by a page: offsets are not promised to be adjacent.
    Forge forge;
    const Header before = forge.get<Header>(0);
    const uint64_t gap = forge.offset(RegionKind::kRoots);
    forge.bytes.insert(forge.bytes.begin() + static_cast<ptrdiff_t>(gap), kPageSize, std::byte{0});
    forge.header([&](Header& h) {
        h.prefix.image_size += kPageSize;
        for (uint32_t i = 0; i < h.region_count; ++i) {
            if (before.regions[i].offset >= gap) h.regions[i].offset += kPageSize;
        }
        h.objects_end += kPageSize;
    });
    // The object area grew by a page, and the ptrmaps with it.
    forge.region(RegionKind::kPtrmapInternal, [](RegionEntry& r) { r.size += 64, r.count += 8; });
    forge.region(RegionKind::kPtrmapExternal, [](RegionEntry& r) { r.size += 64, r.count += 8; });
    const Verdict verdict = forge.validate();
    EXPECT_TRUE(verdict.ok()) << verdict_text(verdict);
}

TEST(Validator, AcceptsSlicesAmongConstants) {
    Forge forge;
    const uint64_t tuple = forge.offset(RegionKind::kTupleConsts) + 16;
    forge.set(tuple + 8, forge.type(TypeIndex::kSlice));
    EXPECT_TRUE(forge.validate().ok());
}

TEST(Validator, AcceptsPointersToTheContentsOfBytes) {
    Forge forge;
    const uint64_t code = forge.offset(RegionKind::kCodeFunctions);
    const uint64_t contents = forge.base() + forge.offset(RegionKind::kBytes) + kBytesData;
    constexpr uint64_t kArray = object_layout(0x030a0df0)->code_array;
    const auto point = [&](uint64_t slot, uint64_t where) {
        forge.mark_internal(slot);
        forge.set(slot, where);
        return forge.validate();
    };
    const auto set_version = [&](uint32_t hexversion) {
        forge.identity([&](InterpreterIdentity& identity) { identity.hexversion = hexversion; });
    };
    // There are none since 3.11.
    set_version(0x030d05f0);
    EXPECT_EQ(point(code + kArray, contents).defect, Defect::kInternalWord);
    set_version(0x030a0df0);
    // The pointer is good; what else is in these objects is not what that version has.
    EXPECT_EQ(point(code + kArray, contents).defect, Defect::kObjectContent);
    EXPECT_EQ(point(code + kArray, contents + 8).defect, Defect::kInternalWord);
    EXPECT_EQ(point(code + kArray, contents).defect, Defect::kObjectContent);
    // Nor anywhere else: it would be taken for an object.
    EXPECT_EQ(point(code + 24, contents).defect, Defect::kInternalWord);
}

TEST(Validator, AcceptsReferencesToSingletonsOnTheHeap) {
    Forge forge;
    // In the place of the first type, which is the lowest address.
    const uint64_t number = static_cast<uint64_t>(HeapSingleton::kEmptyTuple);
    const uint64_t runtime = forge.get<uint64_t>(forge.offset(RegionKind::kExternals) +
                                                 13 * sizeof(ExternalReference));
    std::vector<ExternalReference> table;
    for (uint64_t i = 0; i < 13; ++i) {
        table.push_back(forge.get<ExternalReference>(forge.offset(RegionKind::kExternals) +
                                                     i * sizeof(ExternalReference)));
    }
    table.insert(table.begin(),
                 {heap_singleton_address(number), ExternalKind::kHeapSingleton, 0, number});
    for (uint64_t i = 0; i < table.size(); ++i) {
        forge.entry<ExternalReference>(RegionKind::kExternals, i,
                                       [&](ExternalReference& r) { r = table[i]; });
    }
    const Header header = forge.get<Header>(0);
    for (uint64_t at = header.objects_begin; at < header.objects_end; at += 8) {
        if (forge.get<uint64_t>(at) == runtime) forge.set(at, heap_singleton_address(number));
    }
    const Verdict verdict = forge.validate();
    EXPECT_TRUE(verdict.ok()) << verdict_text(verdict);
}

TEST(Validator, RejectsEveryFlippedByte) {
    std::vector<std::byte> image = make_tiny_image({.roots = 1});
    for (const unsigned pattern : {0x01U, 0x80U, 0xFFU, 0x24U}) {
        for (size_t i = 0; i < image.size(); ++i) {
            image[i] ^= static_cast<std::byte>(pattern);
            const Verdict verdict = validate_image(image.data(), image.size());
            image[i] ^= static_cast<std::byte>(pattern);
            ASSERT_FALSE(verdict.ok()) << "byte " << i << " pattern " << pattern;
            ASSERT_LE(verdict.offset, image.size());
        }
    }
}

TEST(Validator, TheHeaderPartRejectsEveryFlippedByteOfThePageButTheChecksumOfTheRest) {
    std::vector<std::byte> image = make_tiny_image({.roots = 1});
    const size_t begin = offsetof(FrozenPrefix, checksum);
    for (size_t i = 0; i < kPageSize; ++i) {
        if (i >= begin && i < begin + sizeof(uint64_t)) continue;
        for (const unsigned pattern : {0x01U, 0x80U, 0xFFU}) {
            image[i] ^= static_cast<std::byte>(pattern);
            EXPECT_FALSE(validate_header(image.data(), image.size()).ok()) << i;
            image[i] ^= static_cast<std::byte>(pattern);
        }
    }
}

TEST(Validator, RejectsEveryTruncation) {
    const std::vector<std::byte> image = make_tiny_image({.roots = 1});
    for (size_t size = 0; size < image.size(); ++size) {
        const Defect expected = size < kPageSize ? Defect::kTooSmall : Defect::kFileSize;
        ASSERT_EQ(validate_header(image.data(), size).defect, expected) << size;
        ASSERT_EQ(validate_image(image.data(), size).defect, expected) << size;
    }
}

// So that a sanitizer sees a read behind the end.
TEST(Validator, ReadsNothingBehindATruncation) {
    const std::vector<std::byte> image = make_tiny_image({.roots = 1});
    for (size_t size = 0; size < image.size(); size += 1023) {
        const std::vector<std::byte> copy(image.begin(), image.begin() + static_cast<long>(size));
        ASSERT_FALSE(validate_image(copy.data(), copy.size()).ok()) << size;
    }
}

// Truncated to a page boundary with everything in the header made consistent but the regions.
TEST(Validator, RejectsForgedTruncations) {
    const std::vector<std::byte> image = make_tiny_image({.roots = 1});
    for (size_t size = kPageSize; size < image.size(); size += kPageSize) {
        Forge forge;
        forge.bytes.assign(image.begin(), image.begin() + static_cast<long>(size));
        forge.header([&](Header& h) { h.prefix.image_size = size; });
        EXPECT_EQ(forge.validate().defect, Defect::kRegionBounds) << size;
    }
}

TEST(Validator, RejectsTrailingBytes) {
    std::vector<std::byte> image = make_tiny_image();
    image.push_back(std::byte{0});
    EXPECT_EQ(validate_image(image.data(), image.size()).defect, Defect::kFileSize);
    image.resize(image.size() - 1 + kPageSize);
    EXPECT_EQ(validate_image(image.data(), image.size()).defect, Defect::kFileSize);
}

// Behind the checksum an edit may be harmless (a reference count, an inode), but what is accepted
// must be safe to walk.
TEST(Validator, EveryForgedByteIsRejectedOrSafeToWalk) {
    Forge forge(TinyImageOptions{.roots = 2});
    const Header header = forge.get<Header>(0);
    size_t accepted = 0;
    for (uint32_t i = 0; i < header.region_count; ++i) {
        const RegionEntry& region = header.regions[i];
        for (uint64_t at = region.offset; at < region.offset + region.size; ++at) {
            for (const unsigned pattern : {0x01U, 0x08U, 0xFFU}) {
                const std::byte before = forge.bytes[at];
                forge.bytes[at] ^= static_cast<std::byte>(pattern);
                if (forge.validate().ok()) {
                    ++accepted;
                    ASSERT_EQ(fakes::walk_image(forge.bytes), "") << at;
                }
                forge.bytes[at] = before;
            }
        }
    }
    for (uint64_t at = 0; at < sizeof(Header); ++at) {
        const std::byte before = forge.bytes[at];
        forge.bytes[at] ^= std::byte{0x01};
        if (forge.validate().ok()) {
            ASSERT_EQ(fakes::walk_image(forge.bytes), "") << at;
        }
        forge.bytes[at] = before;
    }
    EXPECT_GT(accepted, 0U);
}

TEST(Validator, EveryDefectHasItsOwnText) {
    std::set<std::string> texts;
    const auto last = static_cast<uint32_t>(Defect::kPatternEntry);
    for (uint32_t i = 0; i <= last; ++i) {
        EXPECT_TRUE(texts.insert(defect_text(static_cast<Defect>(i))).second) << i;
    }
    EXPECT_FALSE(texts.contains(defect_text(static_cast<Defect>(last + 1))));
}

}  // namespace
}  // namespace pycds::image
