// Validation of an image, pure over bytes: nothing in it is believed before it is checked, and
// nothing is dereferenced. Needs no interpreter. Freestanding: the client includes the header part.
//
// Two depths. validate_header() looks at the first page only and costs about a microsecond: what a
// client does before it maps a file whose bytes the daemon has already validated and sealed.
// validate_image() looks at everything, checksum and every marked word included: what the daemon
// does to the output of a builder, and pycdsctl verify to any file.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/common/image/format.h"

namespace pycds::image {

enum class Defect : uint32_t {
    kNone = 0,
    kTooSmall,       // shorter than a page
    kTooLarge,       // longer than kMaxImageSize
    kMagic,          // not an image
    kFormatVersion,  // of another format version
    kHeaderSize,
    kFileSize,  // image_size is not the size of the file, or not whole pages
    kHeaderChecksum,
    kReserved,        // a field that must be zero is not
    kIdentityDigest,  // prefix.identity is not the digest of the identity
    kIdentity,        // a field of the identity has a value that no interpreter has
    kBase,            // requested_base null or unaligned, or the image would wrap around
    kDomain,
    kText,  // python[] or cache_tag[] is not NUL-terminated and zero after that
    kRegionCount,
    kRegionKind,        // unknown, out of order, twice, or missing
    kRegionBounds,      // outside the image, unaligned, or overlapping the one before
    kObjectBounds,      // objects_begin or objects_end do not fit the regions
    kRegionCountField,  // RegionEntry::count does not fit its size
    kCoVersions,        // co_version range wraps or is too large
    kChecksum,
    kPadding,  // non-zero byte after the header or between regions
    kPtrmapSize,
    kPtrmapOverlap,  // a word is marked both internal and external
    kPtrmapStray,    // a marked word lies outside the used part of an object region
    kExternalOrder,  // the table is not strictly ascending by address
    kExternalEntry,  // unknown kind or index, one index twice, an address that cannot be
    kExternalWord,   // a word marked external does not hold a listed address
    kObjectStart,    // an object that is misaligned, whose reference count is marked as an
                     // address, or whose PyGC_Head is not zero
    kObjectType,     // an object of a type that its region does not hold
    kObjectCount,    // object starts found in a region are not RegionEntry::count
    kObjectContent,  // an object does not fit its room, or has a word that CPython would follow
                     // and that is neither null nor marked (object_layout.h)
    kInternalWord,   // an embedded pointer does not point to the start of an object, nor, where there
                     // is an array, to the contents of a bytes object
    kRootOrder,      // roots are not strictly ascending by path
    kRootPath,       // path outside kPaths, not absolute, or without its NUL
    kRootHash,
    kRootCode,   // code_offset is not the start of a code object, or of one that something else
                 // refers to
    kRootLists,  // intern or frozenset list out of bounds, or not after that of the root before
    kRootFlags,
    kRootIndex,       // the index does not find every root, or finds another
    kInternEntry,     // a malformed list, a string that is none, a slot that is not an embedded
                      // pointer to it, or comes twice, or is not listed
    kFrozensetEntry,  // not a frozenset, or elements that are not marked words behind it
    kLeftOutEntry,    // unknown reason, bad path, or not ascending by path
    kPatternEntry,    // no tuple of constants, or not ascending by hash
    kNoMemory,        // nothing is known to be wrong, nor that nothing is
};

// What is wrong with an image, and where. Plain data, so that the client can have it too.
struct [[nodiscard]] Verdict {
    Defect defect = Defect::kNone;
    uint64_t offset = 0;  // byte offset in the image that shows it
    bool ok() const { return defect == Defect::kNone; }
};

// Checks the first page. `page` holds at least kPageSize bytes of the image if the file has that
// many, and is not looked at otherwise; it need not be aligned. `file_size` is the size of the
// whole file. After this all regions lie in the file, in order and aligned, and the sizes of
// tables are multiples of their entries.
Verdict validate_header(const std::byte* page, uint64_t file_size);

// Checks everything. `image` is the whole file, 8-byte aligned in memory. Allocates a bit for each
// word of the objects; time is linear in the size.
Verdict validate_image(const std::byte* image, uint64_t size);

// Words for a person, to be followed by " at offset 0x5000": "a root path is malformed".
const char* defect_text(Defect defect);

// The region of a kind, or nullptr. `header` has passed validate_header().
inline const RegionEntry* find_region(const Header& header, RegionKind kind) {
    for (uint32_t i = 0; i < header.region_count && i < kMaxRegions; ++i) {
        if (header.regions[i].kind == kind) return &header.regions[i];
    }
    return nullptr;
}

}  // namespace pycds::image
