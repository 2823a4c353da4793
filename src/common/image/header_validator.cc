// The part of the validator that looks at the first page only. Freestanding: compiled into the
// client as it is, so no exceptions, no allocation and nothing of libstdc++'s library.
#include <bit>
#include <cstring>

#include "src/common/base/checked.h"
#include "src/common/image/checksum.h"
#include "src/common/image/validator.h"
#include "src/common/image/zero_bytes.h"

namespace pycds::image {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr uint64_t kRegionsOffset = offsetof(Header, regions);
constexpr uint64_t kIdentityOffset = offsetof(Header, interpreter);

Verdict bad(Defect defect, uint64_t offset) {
    return Verdict{defect, offset};
}

// Text that ends within its field, with nothing after its end.
bool is_padded_text(const char* field, uint64_t size) {
    const void* end = std::memchr(field, '\0', size);
    if (end == nullptr) return false;
    const uint64_t length = static_cast<uint64_t>(static_cast<const char*>(end) - field);
    return first_nonzero(end, size - length) == size - length;
}

Verdict check_prefix(const FrozenPrefix& prefix, uint64_t file_size) {
    if (std::memcmp(prefix.magic, kMagic, sizeof kMagic) != 0) return bad(Defect::kMagic, 0);
    if (prefix.format_version != kFormatVersion) {
        return bad(Defect::kFormatVersion, offsetof(FrozenPrefix, format_version));
    }
    if (prefix.header_size != sizeof(Header)) {
        return bad(Defect::kHeaderSize, offsetof(FrozenPrefix, header_size));
    }
    if (prefix.image_size != file_size || file_size % kPageSize != 0) {
        return bad(Defect::kFileSize, offsetof(FrozenPrefix, image_size));
    }
    return {};
}

Verdict check_identity(const Header& header) {
    const InterpreterIdentity& identity = header.interpreter;
    uint8_t digest[sizeof header.prefix.identity];
    identity_digest(identity, digest);
    if (std::memcmp(digest, header.prefix.identity, sizeof digest) != 0) {
        return bad(Defect::kIdentityDigest, offsetof(FrozenPrefix, identity));
    }
    const uint64_t id_size = identity.build_id_size;
    if (id_size == 0 || id_size > sizeof identity.build_id) {
        return bad(Defect::kIdentity,
                   kIdentityOffset + offsetof(InterpreterIdentity, build_id_size));
    }
    if (identity.optimize > 2 || identity.debug_ranges > 1 || identity.at_common_base > 1 ||
        identity.pointer_size != 8 || (identity.digit_bits != 15 && identity.digit_bits != 30)) {
        return bad(Defect::kIdentity, kIdentityOffset + offsetof(InterpreterIdentity, optimize));
    }
    if (!is_padded_text(identity.cache_tag, sizeof identity.cache_tag)) {
        return bad(Defect::kText, kIdentityOffset + offsetof(InterpreterIdentity, cache_tag));
    }
    if (!is_padded_text(header.python, sizeof header.python)) {
        return bad(Defect::kText, offsetof(Header, python));
    }
    const uint64_t unused = sizeof identity.build_id - id_size;
    if (first_nonzero(identity.build_id + id_size, unused) != unused) {
        return bad(Defect::kReserved, kIdentityOffset + id_size);
    }
    if (first_nonzero(identity.reserved, sizeof identity.reserved) != sizeof identity.reserved) {
        return bad(Defect::kReserved, kIdentityOffset + offsetof(InterpreterIdentity, reserved));
    }
    if (first_nonzero(identity.reserved_end, sizeof identity.reserved_end) !=
        sizeof identity.reserved_end) {
        return bad(Defect::kReserved, kIdentityOffset + offsetof(InterpreterIdentity, reserved_end));
    }
    return {};
}

Verdict check_scalars(const Header& header) {
    if (header.prefix.reserved != 0) {
        return bad(Defect::kReserved, offsetof(FrozenPrefix, reserved));
    }

    uint64_t end = 0;
    if (header.requested_base == 0 || header.requested_base % kPageSize != 0 ||
        !checked_add(header.requested_base, header.prefix.image_size, &end)) {
        return bad(Defect::kBase, offsetof(Header, requested_base));
    }
    const bool system = header.domain == DomainKind::kSystem;
    if ((!system && header.domain != DomainKind::kUser) || (system && header.domain_uid != 0)) {
        return bad(Defect::kDomain, offsetof(Header, domain));
    }
    const uint64_t versions = header.co_version_count;
    const uint64_t past_last_version = uint64_t{header.first_co_version} + versions;
    if (versions > kMaxCodeObjects || past_last_version > (uint64_t{1} << 32) ||
        (header.first_co_version == 0 && versions != 0)) {
        return bad(Defect::kCoVersions, offsetof(Header, first_co_version));
    }
    return {};
}

// Bytes of one entry of a table; 0 for an object region.
uint64_t entry_size(RegionKind kind) {
    switch (kind) {
        case RegionKind::kCodeRunOnce:
        case RegionKind::kCodeFunctions:
        case RegionKind::kStrInterned:
        case RegionKind::kStrDoc:
        case RegionKind::kStrOther:
        case RegionKind::kTupleNames:
        case RegionKind::kTupleConsts:
        case RegionKind::kBytes:
        case RegionKind::kNumbers:
        case RegionKind::kFrozensets:
        case RegionKind::kModules:
        case RegionKind::kRunOnce: return 0;
        case RegionKind::kRoots: return sizeof(RootRecord);
        case RegionKind::kPaths: return 1;
        case RegionKind::kRootIndex:
        case RegionKind::kInternLists: return sizeof(uint32_t);
        case RegionKind::kFrozensetLists: return sizeof(FrozensetRecord);
        case RegionKind::kPtrmapInternal:
        case RegionKind::kPtrmapExternal: return sizeof(uint64_t);
        case RegionKind::kExternals: return sizeof(ExternalReference);
        case RegionKind::kLeftOut: return sizeof(LeftOutRecord);
        case RegionKind::kPatterns: return sizeof(PatternRecord);
    }
    return 0;
}

bool is_object_kind(uint32_t kind) {
    return kind >= static_cast<uint32_t>(RegionKind::kCodeRunOnce) &&
           kind <= static_cast<uint32_t>(RegionKind::kRunOnce);
}

bool is_table_kind(uint32_t kind) {
    return kind >= kFirstTableKind && kind < kFirstTableKind + kTableKinds;
}

// One entry, given the kind and the end (page-aligned) of the entry before it.
Verdict check_region(const RegionEntry& region, uint32_t kind_before, uint64_t end_before,
                     uint64_t image_size, uint64_t at) {
    const uint32_t kind = static_cast<uint32_t>(region.kind);
    if ((!is_object_kind(kind) && !is_table_kind(kind)) || kind <= kind_before) {
        return bad(Defect::kRegionKind, at + offsetof(RegionEntry, kind));
    }
    if (region.reserved != 0) {
        return bad(Defect::kReserved, at + offsetof(RegionEntry, reserved));
    }
    if (region.offset % kPageSize != 0 || region.offset < end_before ||
        !range_inside(region.offset, region.size, image_size)) {
        return bad(Defect::kRegionBounds, at + offsetof(RegionEntry, offset));
    }
    if (is_table_kind(kind)) {
        // No multiplication: count is hostile, size is bounded by now.
        const uint64_t entry = entry_size(region.kind);
        if (region.size % entry != 0 || region.count != region.size / entry) {
            return bad(Defect::kRegionCountField, at + offsetof(RegionEntry, count));
        }
        if (region.hot_size != 0) {
            return bad(Defect::kReserved, at + offsetof(RegionEntry, hot_size));
        }
        return {};
    }
    if (region.hot_size > region.size) {
        return bad(Defect::kRegionBounds, at + offsetof(RegionEntry, hot_size));
    }
    if (region.count > region.size / kObjectAlignment) {
        return bad(Defect::kRegionCountField, at + offsetof(RegionEntry, count));
    }
    return {};
}

Verdict check_regions(const Header& header) {
    const uint32_t used = header.region_count;
    if (used < kTableKinds || used > kMaxRegions) {
        return bad(Defect::kRegionCount, offsetof(Header, region_count));
    }
    uint32_t kind_before = 0;
    uint64_t end_before = kPageSize;
    uint32_t first_table = used;
    uint64_t at = kRegionsOffset;
    for (uint32_t i = 0; i < used; ++i, at += sizeof(RegionEntry)) {
        const RegionEntry& region = header.regions[i];
        const Verdict verdict =
            check_region(region, kind_before, end_before, header.prefix.image_size, at);
        if (!verdict.ok()) return verdict;
        kind_before = static_cast<uint32_t>(region.kind);
        end_before = align_up(region.offset + region.size, kPageSize);
        if (first_table == used && is_table_kind(kind_before)) first_table = i;
    }
    // Kinds are strictly ascending, so as many tables as there are kinds means all of them.
    if (used - first_table != kTableKinds) return bad(Defect::kRegionKind, kRegionsOffset);

    const uint64_t objects_end = header.regions[first_table].offset;
    const uint64_t objects_begin = first_table == 0 ? objects_end : header.regions[0].offset;
    if (header.objects_begin != objects_begin || header.objects_end != objects_end) {
        return bad(Defect::kObjectBounds, offsetof(Header, objects_begin));
    }
    const RegionEntry* interned = find_region(header, RegionKind::kStrInterned);
    if (header.startup_strings_size > (interned == nullptr ? 0 : interned->size)) {
        return bad(Defect::kRegionBounds, offsetof(Header, startup_strings_size));
    }
    const uint64_t unused = (kMaxRegions - used) * sizeof(RegionEntry);
    const uint64_t stray = first_nonzero(&header.regions[used], unused);
    if (stray != unused) return bad(Defect::kReserved, at + stray);
    return {};
}

}  // namespace

Verdict validate_header(const std::byte* page, uint64_t file_size) {
    if (file_size < kPageSize) return bad(Defect::kTooSmall, file_size);
    if (file_size > kMaxImageSize) return bad(Defect::kTooLarge, kMaxImageSize);
    Header header;
    std::memcpy(&header, page, sizeof header);

    Verdict verdict = check_prefix(header.prefix, file_size);
    if (!verdict.ok()) return verdict;
    if (header_checksum(header) != header.prefix.header_checksum) {
        return bad(Defect::kHeaderChecksum, offsetof(FrozenPrefix, header_checksum));
    }
    verdict = check_scalars(header);
    if (!verdict.ok()) return verdict;
    verdict = check_identity(header);
    if (!verdict.ok()) return verdict;
    verdict = check_regions(header);
    if (!verdict.ok()) return verdict;

    const uint64_t tail = kPageSize - sizeof(Header);
    const uint64_t stray = first_nonzero(page + sizeof(Header), tail);
    if (stray != tail) return bad(Defect::kPadding, sizeof(Header) + stray);
    return {};
}

const char* defect_text(Defect defect) {
    switch (defect) {
        case Defect::kNone: return "nothing is wrong";
        case Defect::kTooSmall: return "the file is smaller than an image can be";
        case Defect::kTooLarge: return "the file is larger than an image may be";
        case Defect::kMagic: return "the file is not an image";
        case Defect::kFormatVersion: return "the image is of another format version";
        case Defect::kHeaderSize: return "the header size is wrong";
        case Defect::kFileSize: return "the image size is not the size of the file";
        case Defect::kHeaderChecksum: return "the header does not match its checksum";
        case Defect::kReserved: return "a field that must be zero is not";
        case Defect::kIdentityDigest: return "the identity does not match its digest";
        case Defect::kIdentity: return "no interpreter has this identity";
        case Defect::kBase: return "the requested base is impossible";
        case Defect::kDomain: return "the domain is unknown or has a wrong uid";
        case Defect::kText: return "a text of the header is not padded with zeros";
        case Defect::kRegionCount: return "the number of regions is wrong";
        case Defect::kRegionKind: return "a region is unknown, out of order, twice or missing";
        case Defect::kRegionBounds: return "a region is misplaced";
        case Defect::kObjectBounds: return "the object area does not fit the regions";
        case Defect::kRegionCountField: return "the entries of a region do not fit its size";
        case Defect::kCoVersions: return "the range of code versions is impossible";
        case Defect::kChecksum: return "the image does not match its checksum";
        case Defect::kPadding: return "bytes between regions are not zero";
        case Defect::kPtrmapSize: return "a ptrmap has the wrong size";
        case Defect::kPtrmapOverlap: return "a word is marked both internal and external";
        case Defect::kPtrmapStray: return "a word outside the objects is marked";
        case Defect::kExternalOrder: return "external references are not in order";
        case Defect::kExternalEntry: return "an external reference is malformed";
        case Defect::kExternalWord: return "a word marked external holds no listed address";
        case Defect::kObjectStart: return "the head of an object is malformed";
        case Defect::kObjectType: return "an object is in the wrong region";
        case Defect::kObjectCount: return "the number of objects in a region is wrong";
        case Defect::kObjectContent: return "an object is not what its type has to be";
        case Defect::kInternalWord: return "an embedded pointer does not point to an object";
        case Defect::kRootOrder: return "roots are not in order";
        case Defect::kRootPath: return "a root path is malformed";
        case Defect::kRootHash: return "a root has the wrong path hash";
        case Defect::kRootCode: return "a root has no code object of its own";
        case Defect::kRootLists: return "the lists of a root are misplaced";
        case Defect::kRootFlags: return "a root has unknown flags";
        case Defect::kRootIndex: return "the root index is malformed";
        case Defect::kInternEntry: return "an intern list is malformed";
        case Defect::kFrozensetEntry: return "a frozenset list is malformed";
        case Defect::kLeftOutEntry: return "a left-out record is malformed";
        case Defect::kPatternEntry: return "a pattern record is malformed";
        case Defect::kNoMemory: return "there is no memory to look at it";
    }
    return "unknown defect";
}

}  // namespace pycds::image
