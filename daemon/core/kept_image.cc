#include "daemon/core/kept_image.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <span>
#include <vector>

#include "daemon/core/image_import.h"
#include "src/common/base/text.h"
#include "src/common/image/checksum.h"
#include "src/common/image/rebase.h"
#include "src/common/image/validator.h"
#include "src/common/os/mapping.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::core {
namespace {

constexpr std::string_view kPrefix = "img";
constexpr size_t kMaxName = 200;
constexpr size_t kMaxVersion = 32;

std::string hex_digits(uint64_t value) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return text;
}

bool parse_hex(std::string_view text, uint64_t* out) {
    if (text.size() != 16) return false;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *out, 16);
    return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

std::string identity_text(const wire::Identity& identity) {
    return hex(identity.data(), identity.size());
}

std::string domain_text(const wire::ImageInfo& info) {
    return info.domain == wire::Domain::kUser ? "user-" + std::to_string(info.domain_uid)
                                              : "system";
}

bool is_one_of(std::string_view text, std::string_view alphabet) {
    return text.find_first_not_of(alphabet) == std::string_view::npos;
}

// A version holds dots, so it goes into a name with '~' for them.
std::string swap_dots(std::string_view text, char from, char to) {
    std::string out(text);
    std::replace(out.begin(), out.end(), from, to);
    return out;
}

Error corrupt(std::string what) {
    return Error{ErrorCode::kCorrupt, std::move(what)};
}

}  // namespace

std::string KeptName::text() const {
    std::string out(kPrefix);
    for (const std::string& part :
         {identity, domain, hex_digits(origin.interpreter), hex_digits(origin.fingerprint),
          hex_digits(published_unix_ms), hex_digits(checksum), swap_dots(version, '.', '~')}) {
        out += "." + part;
    }
    return out;
}

std::optional<KeptName> KeptName::parse(std::string_view text) {
    if (text.size() > kMaxName) return std::nullopt;
    std::vector<std::string_view> parts;
    for (;;) {
        const size_t dot = text.find('.');
        parts.push_back(text.substr(0, dot));
        if (dot == std::string_view::npos) break;
        text.remove_prefix(dot + 1);
    }
    KeptName out;
    if (parts.size() != 8 || parts[0] != kPrefix) return std::nullopt;
    if (parts[1].size() != 32 || !is_one_of(parts[1], "0123456789abcdef")) return std::nullopt;
    if (parts[2] != "system" && (!parts[2].starts_with("user-") || parts[2].size() == 5 ||
                                 !is_one_of(parts[2].substr(5), "0123456789"))) {
        return std::nullopt;
    }
    if (!parse_hex(parts[3], &out.origin.interpreter) ||
        !parse_hex(parts[4], &out.origin.fingerprint) ||
        !parse_hex(parts[5], &out.published_unix_ms) || !parse_hex(parts[6], &out.checksum)) {
        return std::nullopt;
    }
    if (parts[7].empty() || parts[7].size() > kMaxVersion) return std::nullopt;
    out.identity = parts[1];
    out.domain = parts[2];
    out.version = swap_dots(parts[7], '~', '.');
    return out;
}

KeptName kept_name(const wire::ImageInfo& info, Origin origin, uint64_t checksum,
                   std::string_view version) {
    return KeptName{identity_text(info.identity),
                    domain_text(info),
                    origin,
                    info.published_unix_ms,
                    checksum,
                    std::string(version.substr(0, kMaxVersion))};
}

Result<NewImage> restore_image(UniqueFd fd, const KeptName& name, Belief belief) {
    if (!has_image_seals(fd.get())) return corrupt("it is not sealed");
    const int64_t size = regular_file_size(fd.get());
    if (size < static_cast<int64_t>(image::kPageSize)) return corrupt("it is too small");
    if (static_cast<uint64_t>(size) > image::kMaxImageSize) return corrupt("it is too large");
    // Sealed: neither its size nor a byte of it changes while it is looked at.
    const Result<Mapping> mapping = Mapping::map_read_only(fd.get(), static_cast<size_t>(size));
    if (!mapping) return mapping.error();
    const std::byte* bytes = mapping->bytes().data();
    const auto whole = static_cast<uint64_t>(size);
    image::Verdict verdict = image::validate_header(bytes, whole);
    if (verdict.ok() && belief == Belief::kNothing) verdict = image::validate_image(bytes, whole);
    if (!verdict.ok()) {
        return corrupt(std::string(image::defect_text(verdict.defect)) + " at offset " +
                       std::to_string(verdict.offset));
    }
    image::Header header;
    std::memcpy(&header, bytes, sizeof header);
    if (header.prefix.checksum != name.checksum ||
        (belief == Belief::kSealedByUs &&
         image::image_checksum(bytes, static_cast<size_t>(size)) != name.checksum)) {
        return corrupt("its checksum is another");
    }
    NewImage out;
    out.info = describe_image(header);
    if (identity_text(out.info.identity) != name.identity || domain_text(out.info) != name.domain) {
        return corrupt("it is another image than its name says");
    }
    out.ends_with_boot = header.interpreter.hash_probe != 0;
    out.info.published_unix_ms = name.published_unix_ms;
    out.fd = std::move(fd);
    out.origin = name.origin;
    out.checksum = name.checksum;
    return out;
}

Result<NewImage> rebase_image(const NewImage& image, uint64_t common_base) {
    const Result<Mapping> mapping = Mapping::map_read_only(image.fd.get(), image.info.size);
    if (!mapping) return mapping.error();
    const std::span<const std::byte> before = mapping->bytes();
    std::vector<std::byte> bytes(before.begin(), before.end());
    if (!image::rebase(bytes.data(), common_base)) {
        return corrupt("its interpreter is not position-independent");
    }
    Result<UniqueFd> sealed = make_sealed_copy("pycds-" + image.info.id, bytes);
    if (!sealed) return sealed.error();
    use_huge_pages(sealed->get(), bytes.size());
    NewImage out;
    out.info = image.info;
    out.info.runtime_base = common_base;
    out.fd = std::move(*sealed);
    out.origin = image.origin;
    out.checksum = reinterpret_cast<const image::Header*>(bytes.data())->prefix.checksum;
    return out;
}

}  // namespace pycds::core
