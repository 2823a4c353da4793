// Lays a tiny image out the way a builder does: objects by region, then addresses, then tables.
#include "tests/fakes/tiny_image.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <utility>

#include "src/common/base/bitmap.h"
#include "src/common/base/checked.h"
#include "src/common/image/checksum.h"
#include "src/common/image/object_layout.h"

namespace pycds::fakes {
namespace {

using image::ExternalKind;
using image::ExternalReference;
using image::FrozensetRecord;
using image::Header;
using image::LeftOutRecord;
using image::RegionEntry;
using image::RegionKind;
using image::RootRecord;
using image::SingletonIndex;
using image::TypeIndex;

constexpr uint64_t kImmortal = 0xFFFF'FFFF;
constexpr uint64_t kTypesAddress = 0x90'0000;
constexpr uint64_t kSingletonsAddress = 0xA0'0000;
constexpr uint64_t kRuntimeAddress = 0xA5'0000;
constexpr uint64_t kRuntimeOffset = 0x1230;  // of "the empty tuple"

uint64_t type_address(TypeIndex type) {
    return kTypesAddress + static_cast<uint64_t>(type) * 0x200;
}

// An object by region and word in it; its address is known once all regions have their size.
struct Ref {
    RegionKind region;
    size_t word;
};

struct Region {
    std::vector<uint64_t> words;
    std::vector<std::pair<size_t, Ref>> internal;
    std::vector<size_t> external;
    uint64_t count = 0;
    uint64_t offset = 0;
};

class Objects {
  public:
    Ref start(RegionKind kind, TypeIndex type) {
        Region& region = regions_[kind];
        if (region.words.size() % 2 != 0) region.words.push_back(0);
        if (type == TypeIndex::kTuple || type == TypeIndex::kFrozenset) {
            region.words.insert(region.words.end(), 2, 0);
        }
        const Ref ref{kind, region.words.size()};
        region.words.push_back(kImmortal);
        external(kind, type_address(type));
        ++region.count;
        return ref;
    }

    void plain(RegionKind kind, uint64_t value) { regions_[kind].words.push_back(value); }

    void external(RegionKind kind, uint64_t address) {
        Region& region = regions_[kind];
        region.external.push_back(region.words.size());
        region.words.push_back(address);
    }

    // Returns the slot.
    Ref internal(RegionKind kind, Ref target) {
        Region& region = regions_[kind];
        const Ref slot{kind, region.words.size()};
        region.internal.emplace_back(slot.word, target);
        region.words.push_back(0);
        return slot;
    }

    Ref text(RegionKind kind, TypeIndex type, const std::string& value) {
        const Ref ref = start(kind, type);
        plain(kind, value.size());
        plain(kind, ~uint64_t{0});  // no hash yet
        for (size_t at = 0; at <= value.size(); at += 8) {
            uint64_t word = 0;
            std::memcpy(&word, value.data() + at, std::min<size_t>(8, value.size() - at));
            plain(kind, word);
        }
        return ref;
    }

    std::map<RegionKind, Region>& regions() { return regions_; }
    uint64_t offset(Ref ref) { return regions_[ref.region].offset + 8 * ref.word; }

  private:
    std::map<RegionKind, Region> regions_;
};

struct Interned {
    Ref string;
    std::vector<Ref> slots;
};

struct RootObjects {
    Ref code;
    std::vector<Interned> interned;
    Ref frozenset;
    Ref elements;
    FrozensetRecord set{};  // but for where it is
};

constexpr uint64_t kNoHash = ~uint64_t{0};

// Two of its entries are used, the first and the third.
void fill_frozenset(Objects& objects, RootObjects& root, Ref name, Ref shared, uint64_t size) {
    const RegionKind kind = RegionKind::kFrozensets;
    const auto zeros = [&](int count) {
        for (int i = 0; i < count; ++i) objects.plain(kind, 0);
    };
    for (const uint64_t number : {uint64_t{2}, uint64_t{2}, size - 1}) objects.plain(kind, number);
    const bool small = size == image::kSetSmallTableSize;
    root.elements = {kind, root.frozenset.word + (small ? image::kSetSmallTable : image::kSetSize) / 8};
    objects.internal(kind, root.elements);
    objects.plain(kind, kNoHash);
    zeros(small ? 1 : 1 + 16 + 1);
    root.interned[0].slots.push_back(objects.internal(kind, name));
    objects.plain(kind, kNoHash);  // as the string says
    zeros(2);
    root.interned[1].slots.push_back(objects.internal(kind, shared));
    objects.plain(kind, kNoHash);
    zeros(2 * static_cast<int>(size - 3) + (small ? 1 : 0));
    root.set.count = 2;
    root.set.table_size = static_cast<uint32_t>(size);
}

// Made once per image, so that an interned string has slots of more than one root.
Ref shared_string(Objects& objects) {
    return objects.text(RegionKind::kStrInterned, TypeIndex::kStr, "self");
}

// `table_size`: of its frozenset; 0: that is to be filled.
RootObjects make_root(Objects& objects, const std::string& path, Ref shared, uint64_t table_size) {
    const Ref name = objects.text(RegionKind::kStrInterned, TypeIndex::kStr, "n:" + path);
    const Ref file = objects.text(RegionKind::kStrOther, TypeIndex::kStr, path);
    const Ref doc = objects.text(RegionKind::kStrDoc, TypeIndex::kStr, "About " + path);
    const Ref lines = objects.text(RegionKind::kBytes, TypeIndex::kBytes, "line table");
    const Ref number = objects.start(RegionKind::kNumbers, TypeIndex::kInt);
    objects.plain(RegionKind::kNumbers, 8);
    objects.plain(RegionKind::kNumbers, 1000);

    RootObjects root{{}, {{name, {}}, {shared, {}}}, {}, {}};
    std::vector<Ref>& name_slots = root.interned[0].slots;
    std::vector<Ref>& shared_slots = root.interned[1].slots;

    root.frozenset = objects.start(RegionKind::kFrozensets, TypeIndex::kFrozenset);
    if (table_size != 0) {
        fill_frozenset(objects, root, name, shared, table_size);
    } else {
        for (int i = 0; i < 4; ++i) objects.plain(RegionKind::kFrozensets, 0);
        root.elements = objects.internal(RegionKind::kFrozensets, name);
        name_slots.push_back(root.elements);
        root.set.count = 1;
    }

    const Ref names = objects.start(RegionKind::kTupleNames, TypeIndex::kTuple);
    objects.plain(RegionKind::kTupleNames, 2);
    name_slots.push_back(objects.internal(RegionKind::kTupleNames, name));
    shared_slots.push_back(objects.internal(RegionKind::kTupleNames, shared));

    const auto code = [&](RegionKind kind, Ref consts) {
        const Ref ref = objects.start(kind, TypeIndex::kCode);
        objects.plain(kind, 0x0000'0003'0000'0001);
        objects.internal(kind, consts);
        objects.internal(kind, names);
        objects.external(kind, kRuntimeAddress + kRuntimeOffset);
        objects.internal(kind, file);
        name_slots.push_back(objects.internal(kind, name));
        objects.internal(kind, lines);
        objects.plain(kind, 0);
        return ref;
    };

    const Ref none = objects.start(RegionKind::kTupleConsts, TypeIndex::kTuple);
    objects.plain(RegionKind::kTupleConsts, 1);
    objects.external(RegionKind::kTupleConsts, kSingletonsAddress);
    const Ref function = code(RegionKind::kCodeFunctions, none);

    const Ref consts = objects.start(RegionKind::kTupleConsts, TypeIndex::kTuple);
    objects.plain(RegionKind::kTupleConsts, 4);
    objects.internal(RegionKind::kTupleConsts, doc);
    objects.internal(RegionKind::kTupleConsts, number);
    objects.internal(RegionKind::kTupleConsts, root.frozenset);
    objects.internal(RegionKind::kTupleConsts, function);
    root.code = code(RegionKind::kCodeRunOnce, consts);
    return root;
}

std::vector<ExternalReference> externals() {
    std::vector<ExternalReference> table;
    for (uint64_t i = 0; i < static_cast<uint64_t>(TypeIndex::kCount); ++i) {
        table.push_back({type_address(static_cast<TypeIndex>(i)), ExternalKind::kType, 0, i});
    }
    for (uint64_t i = 0; i < static_cast<uint64_t>(SingletonIndex::kCount); ++i) {
        table.push_back({kSingletonsAddress + 16 * i, ExternalKind::kSingleton, 0, i});
    }
    table.push_back({kRuntimeAddress + kRuntimeOffset, ExternalKind::kRuntime, 0, kRuntimeOffset});
    return table;
}

class PathTable {
  public:
    uint32_t add(const std::string& path) {
        const uint32_t offset = static_cast<uint32_t>(bytes_.size());
        bytes_.insert(bytes_.end(), path.begin(), path.end());
        bytes_.push_back('\0');
        return offset;
    }
    const std::vector<char>& bytes() const { return bytes_; }

  private:
    std::vector<char> bytes_;
};

// The file as it grows: a header and page-aligned regions.
class File {
  public:
    File() : bytes_(image::kPageSize) {}

    RegionEntry& add(RegionKind kind, const void* data, size_t size, uint64_t count) {
        const size_t offset = bytes_.size();
        bytes_.resize(align_up(offset + size, image::kPageSize));
        if (size != 0) std::memcpy(bytes_.data() + offset, data, size);
        RegionEntry& entry = header.regions[header.region_count++];
        entry = RegionEntry{kind, 0, offset, size, 0, count};
        return entry;
    }

    template <typename T>
    void add_table(RegionKind kind, const std::vector<T>& table) {
        add(kind, table.data(), table.size() * sizeof(T), table.size());
    }

    std::vector<std::byte> finish() {
        header.prefix.image_size = bytes_.size();
        std::memcpy(bytes_.data(), &header, sizeof header);
        fix_checksums(bytes_);
        return std::move(bytes_);
    }

    uint64_t size() const { return bytes_.size(); }
    Header header{};

  private:
    std::vector<std::byte> bytes_;
};

void add_objects(File& file, Objects& objects, const TinyImageOptions& options) {
    Header& header = file.header;
    auto& regions = objects.regions();
    if (!regions.empty()) {
        std::vector<uint64_t>& last = regions.rbegin()->second.words;
        last.resize(last.size() + (options.extra_bytes + 7) / 8);
    }
    uint64_t end = file.size();
    header.objects_begin = end;
    for (auto& [kind, region] : regions) {
        region.offset = end;
        end = align_up(end + 8 * region.words.size(), image::kPageSize);
    }
    header.objects_end = end;
    for (auto& [kind, region] : regions) {
        for (const auto& [word, target] : region.internal) {
            region.words[word] = options.base + objects.offset(target);
        }
        const size_t size = region.words.size() * 8;
        file.add(kind, region.words.data(), size, region.count).hot_size = size / 32 * 16;
    }
}

void add_ptrmaps(File& file, Objects& objects) {
    const Header& header = file.header;
    const size_t words = (header.objects_end - header.objects_begin) / 8;
    std::vector<uint64_t> internal(bitmap_words(words));
    std::vector<uint64_t> external(bitmap_words(words));
    for (const auto& [kind, region] : objects.regions()) {
        const size_t first = (region.offset - header.objects_begin) / 8;
        for (const auto& [word, target] : region.internal) {
            internal[(first + word) / 64] |= uint64_t{1} << ((first + word) % 64);
        }
        for (const size_t word : region.external) {
            external[(first + word) / 64] |= uint64_t{1} << ((first + word) % 64);
        }
    }
    file.add_table(RegionKind::kPtrmapInternal, internal);
    file.add_table(RegionKind::kPtrmapExternal, external);
}

std::vector<uint32_t> root_index(const std::vector<RootRecord>& roots) {
    std::vector<uint32_t> index(std::bit_ceil(2 * roots.size()));
    for (size_t i = 0; i < roots.size(); ++i) {
        size_t slot = roots[i].path_hash & (index.size() - 1);
        while (index[slot] != 0) slot = (slot + 1) & (index.size() - 1);
        index[slot] = static_cast<uint32_t>(i + 1);
    }
    return index;
}

std::vector<std::string> root_paths(const TinyImageOptions& options) {
    std::vector<std::string> paths;
    if (options.paths) {
        paths = *options.paths;
    } else {
        for (size_t i = 0; i < options.roots; ++i) {
            const std::string digits = std::to_string(i);
            const std::string zeros(digits.size() < 4 ? 4 - digits.size() : 0, '0');
            paths.push_back(options.path_prefix + zeros + digits + ".py");
        }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

// Two patterns, with the last tuple of constants as the entry of both.
std::vector<image::PatternRecord> pattern_table(Objects& objects) {
    const auto region = objects.regions().find(RegionKind::kTupleConsts);
    if (region == objects.regions().end() || region->second.external.empty()) return {};
    size_t start = 0;
    for (const size_t word : region->second.external) {
        if (region->second.words[word] == type_address(TypeIndex::kTuple)) start = word - 1;
    }
    const auto entry = static_cast<uint32_t>(objects.offset({RegionKind::kTupleConsts, start}) / 8);
    return {{0x1234, entry, 0}, {0x5678, entry, 0}};
}

}  // namespace

image::InterpreterIdentity tiny_identity(uint8_t seed) {
    image::InterpreterIdentity identity{};
    identity.build_id_size = 20;
    for (uint32_t i = 0; i < identity.build_id_size; ++i) {
        identity.build_id[i] = static_cast<uint8_t>(seed + 7 * i);
    }
    // None whose objects are validated beyond what all versions have in common: these are no real
    // ones.
    identity.hexversion = 0x030005F0;
    identity.magic_number = 3571;
    identity.debug_ranges = 1;
    identity.pointer_size = 8;
    identity.digit_bits = 30;
    identity.layout_digest = 0x1122'3344'5566'7788;
    std::strcpy(identity.cache_tag, "cpython-313");
    return identity;
}

std::vector<uint8_t> tiny_identity_digest(const image::InterpreterIdentity& identity) {
    std::vector<uint8_t> digest(16);
    image::identity_digest(identity, digest.data());
    return digest;
}

TinyRootStat tiny_root_stat(const std::string& path, size_t place) {
    const size_t slash = path.rfind('/') + 1;
    const size_t dot = std::max(path.rfind('.'), slash);
    const uint32_t n = static_cast<uint32_t>(place);
    TinyRootStat stat{};
    stat.pyc_path = path.substr(0, slash) + "__pycache__/" + path.substr(slash, dot - slash) +
                    ".cpython-313.pyc";
    stat.source_mtime = 1'700'000'000 + n;
    stat.source_size = 100 + n;
    stat.dev = 0x801;
    stat.ino = 1000 + n;
    stat.size = 200 + n;
    stat.mtime_ns = 1'700'000'001'000'000'000 + n;
    stat.ctime_ns = 1'700'000'002'000'000'000 + n;
    return stat;
}

std::vector<std::byte> make_tiny_image(const TinyImageOptions& options) {
    Objects objects;
    const std::vector<std::string> paths = root_paths(options);
    std::vector<RootObjects> made;
    if (!paths.empty()) {
        const Ref shared = shared_string(objects);
        for (const std::string& path : paths) {
            const uint64_t size = made.empty() ? image::kSetSmallTableSize : 4 * image::kSetSmallTableSize;
            made.push_back(make_root(objects, path, shared, options.filled_frozensets ? size : 0));
        }
    }

    File file;
    Header& header = file.header;
    std::memcpy(header.prefix.magic, image::kMagic, sizeof header.prefix.magic);
    header.prefix.format_version = image::kFormatVersion;
    header.prefix.header_size = sizeof(Header);
    header.interpreter = options.identity;
    if (options.filled_frozensets) header.interpreter.hash_probe = 1;
    image::identity_digest(header.interpreter, header.prefix.identity);
    header.requested_base = options.base;
    header.runtime_base = 0x40'0000;
    header.generation = options.generation;
    header.domain = options.domain;
    header.domain_uid = options.uid;
    header.first_co_version = options.first_co_version;
    header.co_version_count =
        options.first_co_version == 0 ? 0 : static_cast<uint32_t>(2 * paths.size());
    options.python.copy(header.python, sizeof header.python - 1);
    add_objects(file, objects, options);

    PathTable path_table;
    std::vector<RootRecord> roots;
    std::vector<uint32_t> interns;
    std::vector<FrozensetRecord> frozensets;
    const auto word = [&](Ref ref) { return static_cast<uint32_t>(objects.offset(ref) / 8); };
    for (size_t i = 0; i < paths.size(); ++i) {
        const TinyRootStat stat = tiny_root_stat(paths[i], i);
        RootRecord root{};
        root.path_hash = image::path_hash(paths[i].data(), paths[i].size());
        root.path_offset = path_table.add(paths[i]);
        root.path_size = static_cast<uint32_t>(paths[i].size());
        root.pyc_offset = path_table.add(stat.pyc_path);
        root.pyc_size = static_cast<uint32_t>(stat.pyc_path.size());
        root.code_offset = objects.offset(made[i].code);
        root.source_mtime = stat.source_mtime;
        root.source_size = stat.source_size;
        root.file_dev = stat.dev;
        root.file_ino = stat.ino;
        root.file_size = stat.size;
        root.file_mtime_ns = stat.mtime_ns;
        root.file_ctime_ns = stat.ctime_ns;
        root.intern_first = static_cast<uint32_t>(interns.size());
        for (const Interned& interned : made[i].interned) {
            interns.push_back(word(interned.string));
            interns.push_back(static_cast<uint32_t>(interned.slots.size()));
            for (const Ref slot : interned.slots) interns.push_back(word(slot));
        }
        root.intern_size = static_cast<uint32_t>(interns.size()) - root.intern_first;
        root.frozenset_first = static_cast<uint32_t>(frozensets.size());
        made[i].set.object = word(made[i].frozenset);
        made[i].set.elements = word(made[i].elements);
        frozensets.push_back(made[i].set);
        root.frozenset_count = 1;
        roots.push_back(root);
    }

    std::vector<TinyLeftOut> left_out = options.left_out;
    std::sort(left_out.begin(), left_out.end(),
              [](const TinyLeftOut& a, const TinyLeftOut& b) { return a.path < b.path; });
    std::vector<LeftOutRecord> left_out_table;
    for (const TinyLeftOut& entry : left_out) {
        const uint32_t offset = path_table.add(entry.path);
        left_out_table.push_back(
            {offset, static_cast<uint32_t>(entry.path.size()), entry.reason, 0});
    }

    file.add_table(RegionKind::kRoots, roots);
    file.add_table(RegionKind::kRootIndex, root_index(roots));
    file.add_table(RegionKind::kPaths, path_table.bytes());
    file.add_table(RegionKind::kInternLists, interns);
    file.add_table(RegionKind::kFrozensetLists, frozensets);
    add_ptrmaps(file, objects);
    file.add_table(RegionKind::kExternals, externals());
    file.add_table(RegionKind::kLeftOut, left_out_table);
    file.add_table(RegionKind::kPatterns, pattern_table(objects));
    return file.finish();
}

void fix_checksums(std::byte* bytes, size_t size) {
    Header header;
    std::memcpy(&header, bytes, sizeof header);
    header.prefix.header_checksum = image::header_checksum(header);
    std::memcpy(bytes, &header, sizeof header);
    header.prefix.checksum = image::image_checksum(bytes, size);
    std::memcpy(bytes, &header, sizeof header);
}

void fix_checksums(std::vector<std::byte>& bytes) {
    fix_checksums(bytes.data(), bytes.size());
}

}  // namespace pycds::fakes
