// Prints from one Summary, so that text and JSON cannot say different things.
#include "src/common/image/printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>
#include <vector>

#include "src/common/base/bitmap.h"
#include "src/common/base/text.h"
#include "src/common/image/format.h"
#include "src/common/image/validator.h"

namespace pycds::image {
namespace {

// ExternalKind counts from 1.

const char* external_kind_name(uint32_t kind) {
    switch (static_cast<ExternalKind>(kind)) {
        case ExternalKind::kType: return "type";
        case ExternalKind::kSingleton: return "singleton";
        case ExternalKind::kRuntime: return "runtime";
        case ExternalKind::kInternedDict: return "interned-dict";
        case ExternalKind::kStaticString: return "static-string";
        case ExternalKind::kHeapSingleton: return "heap-singleton";
    }
    return "unknown";
}

struct ExternalCount {
    uint64_t listed = 0;  // entries of the table
    uint64_t words = 0;   // words of objects that refer to them
};

// A validated image with its tables within reach.
class Reader {
  public:
    explicit Reader(std::span<const std::byte> image) : image_(image) {
        std::memcpy(&header, image.data(), sizeof header);
    }

    template <typename T>
    std::vector<T> table(RegionKind kind) const {
        const RegionEntry& region = *find_region(header, kind);
        std::vector<T> entries(region.count);
        if (region.size != 0) {
            std::memcpy(entries.data(), image_.data() + region.offset, region.size);
        }
        return entries;
    }

    std::string_view path(uint32_t offset, uint32_t size) const {
        const RegionEntry& region = *find_region(header, RegionKind::kPaths);
        return {reinterpret_cast<const char*>(image_.data() + region.offset + offset), size};
    }

    uint64_t count(RegionKind kind) const { return find_region(header, kind)->count; }

    std::vector<ExternalCount> count_externals() const {
        std::vector<ExternalCount> counts(kExternalKinds);
        const auto externals = table<ExternalReference>(RegionKind::kExternals);
        for (const ExternalReference& reference : externals) {
            ++counts[static_cast<uint32_t>(reference.kind)].listed;
        }
        const auto bits = table<uint64_t>(RegionKind::kPtrmapExternal);
        const BitmapView map(bits.data(), bits.size() * 64);
        for (size_t word = map.find_next(0); word < map.size(); word = map.find_next(word + 1)) {
            uint64_t address = 0;
            std::memcpy(&address, image_.data() + header.objects_begin + 8 * word, sizeof address);
            const auto found = std::lower_bound(externals.begin(), externals.end(), address,
                                                [](const ExternalReference& reference, uint64_t a) {
                                                    return reference.address < a;
                                                });
            ++counts[static_cast<uint32_t>(found->kind)].words;
        }
        return counts;
    }

    Header header;

  private:
    std::span<const std::byte> image_;
};

enum class Known { kNo, kPrefixOnly, kWhole };

Known read_prefix(std::span<const std::byte> image, FrozenPrefix* prefix) {
    if (image.size() < sizeof *prefix) return Known::kNo;
    std::memcpy(prefix, image.data(), sizeof *prefix);
    if (std::memcmp(prefix->magic, kMagic, sizeof kMagic) != 0) return Known::kNo;
    return prefix->format_version == kFormatVersion ? Known::kWhole : Known::kPrefixOnly;
}

using Out = std::back_insert_iterator<std::string>;

// -------------------------------------------------------------------------------------------
// Text

void text_prefix(Out out, const FrozenPrefix& prefix) {
    fmt::format_to(out, "format           version {}, header of {} bytes\n", prefix.format_version,
                   prefix.header_size);
    fmt::format_to(out, "size             {} ({} bytes)\n", human_size(prefix.image_size),
                   prefix.image_size);
    fmt::format_to(out, "checksum         {:016x}, of the header {:016x}\n", prefix.checksum,
                   prefix.header_checksum);
    fmt::format_to(out, "interpreter      {}\n", hex(prefix.identity, sizeof prefix.identity));
}

void text_header(Out out, const Header& header) {
    const InterpreterIdentity& identity = header.interpreter;
    fmt::format_to(out, "  python         {}\n", printable(header.python));
    fmt::format_to(out, "  cache tag      {}\n", printable(identity.cache_tag));
    fmt::format_to(out, "  build-id       {}\n", hex(identity.build_id, identity.build_id_size));
    // Without the line end that follows the number in a .pyc.
    fmt::format_to(out, "  version        {:#010x}, .pyc magic {}\n", identity.hexversion,
                   identity.magic_number & 0xFFFF);
    fmt::format_to(out, "  flags          optimize {}, debug ranges {}, {}-bit int digits\n",
                   identity.optimize, identity.debug_ranges != 0 ? "on" : "off",
                   identity.digit_bits);
    fmt::format_to(out, "  layout         {:016x}\n", identity.layout_digest);
    if (header.domain == DomainKind::kUser) {
        fmt::format_to(out, "domain           user {}\n", header.domain_uid);
    } else {
        fmt::format_to(out, "domain           system\n");
    }
    fmt::format_to(out, "generation       {}\n", header.generation);
    fmt::format_to(out, "requested base   {:#x}, interpreter at {:#x}{}\n", header.requested_base,
                   header.runtime_base, identity.at_common_base != 0 ? " (pycdsctl run)" : "");
    if (identity.hash_probe != 0) {
        fmt::format_to(out, "hash seed        of this daemon (pycdsctl run --hash-seed)\n");
    }
    fmt::format_to(out, "objects          {} at {:#x}\n",
                   human_size(header.objects_end - header.objects_begin), header.objects_begin);
    fmt::format_to(out, "code versions    {} from {:#x}\n", header.co_version_count,
                   header.first_co_version);
}

void text_regions(Out out, const Header& header) {
    fmt::format_to(out, "\n{:<16} {:>10} {:>11} {:>11} {:>10}\n", "region", "offset", "size", "hot",
                   "count");
    for (uint32_t i = 0; i < header.region_count; ++i) {
        const RegionEntry& region = header.regions[i];
        const bool table = static_cast<uint32_t>(region.kind) >= kFirstTableKind;
        fmt::format_to(out, "{:<16} {:#10x} {:>11} {:>11} {:>10}\n", region_kind_name(region.kind),
                       region.offset, human_size(region.size),
                       table ? "-" : human_size(region.hot_size), region.count);
    }
}

void text_externals(Out out, const std::vector<ExternalCount>& counts) {
    fmt::format_to(out, "\n{:<16} {:>10} {:>11}\n", "external", "listed", "words");
    for (uint32_t kind = 1; kind < kExternalKinds; ++kind) {
        fmt::format_to(out, "{:<16} {:>10} {:>11}\n", external_kind_name(kind), counts[kind].listed,
                       counts[kind].words);
    }
}

void text_roots(Out out, const Reader& reader) {
    fmt::format_to(out, "\nroots\n");
    for (const RootRecord& root : reader.table<RootRecord>(RegionKind::kRoots)) {
        fmt::format_to(out, "  {}\n", printable(reader.path(root.path_offset, root.path_size)));
        fmt::format_to(out, "    code {:#x}, source mtime {} size {}{}\n", root.code_offset,
                       root.source_mtime, root.source_size,
                       (root.flags & kRootUncheckedHash) != 0 ? ", unchecked hash" : "");
        fmt::format_to(out, "    {}\n", printable(reader.path(root.pyc_offset, root.pyc_size)));
        fmt::format_to(out, "    dev {:#x} ino {} size {} mtime_ns {} ctime_ns {}\n", root.file_dev,
                       root.file_ino, root.file_size, root.file_mtime_ns, root.file_ctime_ns);
    }
}

void text_left_out(Out out, const Reader& reader) {
    fmt::format_to(out, "\nleft out\n");
    for (const LeftOutRecord& record : reader.table<LeftOutRecord>(RegionKind::kLeftOut)) {
        fmt::format_to(out, "  {:<22} {}\n", left_out_reason_name(record.reason),
                       printable(reader.path(record.path_offset, record.path_size)));
    }
}

// -------------------------------------------------------------------------------------------
// JSON

void json_prefix(Out out, const FrozenPrefix& prefix, bool known) {
    fmt::format_to(out, R"("format_version":{},"known_version":{},"header_size":{},)",
                   prefix.format_version, known, prefix.header_size);
    fmt::format_to(out, R"("image_size":{},"checksum":"{:016x}","header_checksum":"{:016x}",)",
                   prefix.image_size, prefix.checksum, prefix.header_checksum);
    fmt::format_to(out, R"("identity":"{}")", hex(prefix.identity, sizeof prefix.identity));
}

void json_header(Out out, const Header& header) {
    const InterpreterIdentity& identity = header.interpreter;
    fmt::format_to(out, R"(,"interpreter":{{"python":{},"cache_tag":{},"build_id":"{}",)",
                   json_string(header.python), json_string(identity.cache_tag),
                   hex(identity.build_id, identity.build_id_size));
    fmt::format_to(out, R"("hexversion":"{:08x}","magic_number":{},"optimize":{},)",
                   identity.hexversion, identity.magic_number, identity.optimize);
    fmt::format_to(out, R"("debug_ranges":{},"pointer_size":{},"digit_bits":{},)",
                   identity.debug_ranges != 0, identity.pointer_size, identity.digit_bits);
    fmt::format_to(out, R"("at_common_base":{},"has_hashes":{},"layout_digest":"{:016x}"}})",
                   identity.at_common_base != 0, identity.hash_probe != 0, identity.layout_digest);
    if (header.domain == DomainKind::kUser) {
        fmt::format_to(out, R"(,"domain":{{"kind":"user","uid":{}}})", header.domain_uid);
    } else {
        fmt::format_to(out, R"(,"domain":{{"kind":"system"}})");
    }
    fmt::format_to(out, R"(,"generation":{},"requested_base":"{:#x}","runtime_base":"{:#x}")",
                   header.generation, header.requested_base, header.runtime_base);
    fmt::format_to(out, R"(,"objects_begin":{},"objects_end":{})", header.objects_begin,
                   header.objects_end);
    fmt::format_to(out, R"(,"first_co_version":{},"co_version_count":{})", header.first_co_version,
                   header.co_version_count);
}

void json_regions(Out out, const Header& header) {
    fmt::format_to(out, R"(,"regions":[)");
    for (uint32_t i = 0; i < header.region_count; ++i) {
        const RegionEntry& region = header.regions[i];
        fmt::format_to(out, R"({}{{"kind":"{}","offset":{},"size":{},"hot_size":{},"count":{}}})",
                       i == 0 ? "" : ",", region_kind_name(region.kind), region.offset, region.size,
                       region.hot_size, region.count);
    }
    fmt::format_to(out, "]");
}

void json_externals(Out out, const std::vector<ExternalCount>& counts) {
    fmt::format_to(out, R"(,"external_references":{{)");
    for (uint32_t kind = 1; kind < kExternalKinds; ++kind) {
        fmt::format_to(out, R"({}"{}":{{"listed":{},"words":{}}})", kind == 1 ? "" : ",",
                       external_kind_name(kind), counts[kind].listed, counts[kind].words);
    }
    fmt::format_to(out, "}}");
}

void json_roots(Out out, const Reader& reader) {
    fmt::format_to(out, R"(,"roots":[)");
    const char* separator = "";
    for (const RootRecord& root : reader.table<RootRecord>(RegionKind::kRoots)) {
        fmt::format_to(out, R"({}{{"path":{},"code_offset":{},"source_mtime":{},"source_size":{},)",
                       separator, json_string(reader.path(root.path_offset, root.path_size)),
                       root.code_offset, root.source_mtime, root.source_size);
        fmt::format_to(out, R"("unchecked_hash":{},"pyc":{{"path":{},"dev":{},"ino":{},)",
                       (root.flags & kRootUncheckedHash) != 0,
                       json_string(reader.path(root.pyc_offset, root.pyc_size)), root.file_dev,
                       root.file_ino);
        fmt::format_to(out, R"("size":{},"mtime_ns":{},"ctime_ns":{}}}}})", root.file_size,
                       root.file_mtime_ns, root.file_ctime_ns);
        separator = ",";
    }
    fmt::format_to(out, "]");
}

void json_left_out(Out out, const Reader& reader) {
    fmt::format_to(out, R"(,"left_out":[)");
    const char* separator = "";
    for (const LeftOutRecord& record : reader.table<LeftOutRecord>(RegionKind::kLeftOut)) {
        fmt::format_to(out, R"({}{{"path":{},"reason":"{}"}})", separator,
                       json_string(reader.path(record.path_offset, record.path_size)),
                       left_out_reason_name(record.reason));
        separator = ",";
    }
    fmt::format_to(out, "]");
}

}  // namespace

std::string print_text(std::span<const std::byte> image, const PrintOptions& options) {
    FrozenPrefix prefix;
    const Known known = read_prefix(image, &prefix);
    if (known == Known::kNo) return "not an image\n";
    std::string text;
    const Out out(text);
    text_prefix(out, prefix);
    if (known == Known::kPrefixOnly) {
        text += "the rest is of a format version that this program does not know\n";
        return text;
    }
    const Reader reader(image);
    text_header(out, reader.header);
    fmt::format_to(out, "roots            {}, left out {}\n", reader.count(RegionKind::kRoots),
                   reader.count(RegionKind::kLeftOut));
    text_regions(out, reader.header);
    text_externals(out, reader.count_externals());
    if (options.roots) text_roots(out, reader);
    if (options.left_out) text_left_out(out, reader);
    return text;
}

std::string print_json(std::span<const std::byte> image, const PrintOptions& options) {
    FrozenPrefix prefix;
    const Known known = read_prefix(image, &prefix);
    if (known == Known::kNo) return "{\"error\":\"not an image\"}\n";
    std::string json = "{";
    const Out out(json);
    json_prefix(out, prefix, known == Known::kWhole);
    if (known == Known::kWhole) {
        const Reader reader(image);
        json_header(out, reader.header);
        fmt::format_to(out, R"(,"root_count":{},"left_out_count":{})",
                       reader.count(RegionKind::kRoots), reader.count(RegionKind::kLeftOut));
        json_regions(out, reader.header);
        json_externals(out, reader.count_externals());
        if (options.roots) json_roots(out, reader);
        if (options.left_out) json_left_out(out, reader);
    }
    json += "}\n";
    return json;
}

}  // namespace pycds::image
