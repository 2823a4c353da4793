// Any bytes against the image validator; whatever it accepts must be safe to print and to walk.
//
// The first byte of an input chooses:
//   'r'  the rest is an image as it is
//   'c'  the rest is an image whose checksums are made right
//   else the rest is a script of edits to a tiny image, with filled frozensets if bit 1 is set, whose
//        checksums are then made right
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "src/common/image/checksum.h"
#include "src/common/image/format.h"
#include "src/common/image/printer.h"
#include "src/common/image/validator.h"
#include "tests/fakes/image_walk.h"
#include "tests/fakes/tiny_image.h"

namespace {

using namespace pycds;

// Takes numbers from the front of an input; zeros after its end.
class Script {
  public:
    explicit Script(std::span<const uint8_t> bytes) : bytes_(bytes) {}
    bool empty() const { return bytes_.empty(); }
    template <typename T>
    T take() {
        T value{};
        const size_t size = std::min(sizeof value, bytes_.size());
        std::memcpy(&value, bytes_.data(), size);
        bytes_ = bytes_.subspan(size);
        return value;
    }

  private:
    std::span<const uint8_t> bytes_;
};

const std::vector<std::byte>& tiny_image(bool filled) {
    static const std::vector<std::byte> images[] = {fakes::make_tiny_image(),
                                                    fakes::make_tiny_image({.filled_frozensets = true})};
    return images[filled ? 1 : 0];
}

// A place in the used part of a tiny image: a region (or the header) and an offset in it.
size_t take_place(Script& script, const std::vector<std::byte>& original) {
    image::Header header;
    std::memcpy(&header, original.data(), sizeof header);
    const uint32_t area = script.take<uint8_t>() % (header.region_count + 1);
    const uint64_t offset = script.take<uint16_t>();
    uint64_t place = 0;
    if (area == header.region_count) {
        place = offset % sizeof(image::Header);
    } else {
        const image::RegionEntry& region = header.regions[area];
        place = region.offset + offset % std::max<uint64_t>(region.size, 1);
    }
    return std::min<size_t>(place, original.size() - sizeof(uint64_t));
}

template <typename T>
void add(std::byte* place, T amount) {
    T value;
    std::memcpy(&value, place, sizeof value);
    value = static_cast<T>(value + amount);
    std::memcpy(place, &value, sizeof value);
}

void edit(Script& script, const std::vector<std::byte>& original, std::vector<std::byte>& image) {
    const uint8_t operation = script.take<uint8_t>();
    std::byte* place = image.data() + take_place(script, original);
    switch (operation % 6) {
        case 0: *place = static_cast<std::byte>(script.take<uint8_t>()); break;
        case 1: *place ^= static_cast<std::byte>(1U << (script.take<uint8_t>() % 8)); break;
        case 2: add<uint32_t>(place, static_cast<uint32_t>(script.take<int8_t>())); break;
        case 3: add<uint64_t>(place, static_cast<uint64_t>(script.take<int16_t>())); break;
        case 4: {
            const uint32_t value = script.take<uint32_t>();
            std::memcpy(place, &value, sizeof value);
            break;
        }
        default:
            std::memmove(place, image.data() + take_place(script, original), sizeof(uint64_t));
            break;
    }
}

void fix(std::vector<std::byte>& image, bool identity) {
    if (image.size() < image::kPageSize) return;
    if (identity) {
        image::Header header;
        std::memcpy(&header, image.data(), sizeof header);
        image::identity_digest(header.interpreter, header.prefix.identity);
        std::memcpy(image.data(), &header, sizeof header);
    }
    fakes::fix_checksums(image);
}

void check(const std::vector<std::byte>& image) {
    const image::Verdict verdict = image::validate_image(image.data(), image.size());
    const image::Verdict header = image::validate_header(image.data(), image.size());
    if (verdict.ok() && !header.ok()) std::abort();
    if (!verdict.ok()) {
        if (std::strlen(image::defect_text(verdict.defect)) == 0) std::abort();
        return;
    }
    if (!fakes::walk_image(image).empty()) std::abort();
    const std::string text = image::print_text(image, {.roots = true, .left_out = true});
    const std::string json = image::print_json(image, {.roots = true, .left_out = true});
    if (text.back() != '\n' || json.back() != '\n') std::abort();
    if (std::count(json.begin(), json.end(), '\n') != 1) std::abort();
}

// Of a later format version only the prefix is printed, whatever follows.
void check_prefix_printer(std::vector<std::byte> image) {
    if (image.size() < sizeof(image::FrozenPrefix)) return;
    image::FrozenPrefix prefix;
    std::memcpy(&prefix, image.data(), sizeof prefix);
    if (prefix.format_version == image::kFormatVersion) ++prefix.format_version;
    std::memcpy(prefix.magic, image::kMagic, sizeof prefix.magic);
    std::memcpy(image.data(), &prefix, sizeof prefix);
    if (image::print_text(image).empty() || image::print_json(image).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::span<const uint8_t> rest(data + 1, size - 1);
    std::vector<std::byte> image;
    if (data[0] == 'r' || data[0] == 'c') {
        const auto* bytes = reinterpret_cast<const std::byte*>(rest.data());
        image.assign(bytes, bytes + rest.size());
        if (data[0] == 'c') fix(image, true);
        check_prefix_printer(image);
    } else {
        const std::vector<std::byte>& original = tiny_image((data[0] & 2) != 0);
        image = original;
        Script script(rest);
        const bool fix_identity = (data[0] & 1) != 0;
        for (int edits = 0; edits < 16 && !script.empty(); ++edits) edit(script, original, image);
        fix(image, fix_identity);
    }
    check(image);
    return 0;
}
