// Breaks one field of a valid image at a time and asks the validator. The checksums are made right
// again, as somebody would who wants to be believed.
//
//     image_forge IMAGE SEED COUNT SAMPLES
//     image_forge --edit IMAGE OFFSET HEX
//
// The latter writes to standard output the image with these bytes changed.
//
// Prints for each area how many of its mutants were rejected and how many not; of the latter up to
// SAMPLES as `accepted AREA OFFSET OLD NEW PREFIX`, the bytes in hexadecimal, PREFIX being the
// first 64 of the file: enough to make the mutant again (tests/integration/test_forge.py gives it
// to real processes). Exit status 1 if IMAGE itself is not valid, or the validator is not of one
// mind about a mutant.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "src/common/image/checksum.h"
#include "src/common/image/format.h"
#include "src/common/image/validator.h"
#include "tests/fakes/tiny_image.h"

namespace {

using namespace pycds;
using image::Header;
using image::RegionEntry;
using image::RegionKind;

struct Place {
    std::string area;
    uint64_t offset = 0;
    size_t size = 0;
};

class Forge {
  public:
    Forge(std::vector<std::byte> bytes, uint64_t seed) : bytes_(std::move(bytes)), random_(seed) {
        std::memcpy(&header_, bytes_.data(), sizeof header_);
    }

    int run(uint64_t count, uint64_t samples) {
        if (!image::validate_image(bytes_.data(), bytes_.size()).ok()) return 1;
        const std::vector<std::byte> original = bytes_;
        for (uint64_t i = 0; i < count; ++i) {
            const Place place = choose();
            mutate(place);
            if (std::memcmp(bytes_.data() + place.offset, original.data() + place.offset,
                            place.size) == 0) {
                continue;
            }
            repair(place);
            const image::Verdict verdict = image::validate_image(bytes_.data(), bytes_.size());
            if (verdict.ok() && !image::validate_header(bytes_.data(), bytes_.size()).ok())
                return 1;
            Count& counted = counts_[place.area];
            ++(verdict.ok() ? counted.accepted : counted.rejected);
            if (verdict.ok() && counted.accepted <= samples) print(place, original);
            std::memcpy(bytes_.data() + place.offset, original.data() + place.offset, place.size);
            std::memcpy(bytes_.data(), original.data(), sizeof header_);
        }
        for (const auto& [area, counted] : counts_) {
            std::printf("area %s rejected %lu accepted %lu\n", area.c_str(), counted.rejected,
                        counted.accepted);
        }
        return 0;
    }

  private:
    struct Count {
        uint64_t rejected = 0;
        uint64_t accepted = 0;
    };

    uint64_t pick(uint64_t below) { return random_() % below; }

    // Each kind of place as often as any other, however much of the image it takes.
    Place choose() {
        const uint64_t what = pick(header_.region_count + 6);
        if (what < header_.region_count) return in_region(header_.regions[what]);
        switch (what - header_.region_count) {
            case 0: return {"header", 4 * pick(offsetof(Header, python) / 4), 4};
            case 1: return {"header", pick(sizeof(Header)), 1};
            case 2: {
                const uint64_t entry = pick(header_.region_count);
                return {"region-entry",
                        offsetof(Header, regions) + entry * sizeof(RegionEntry) + 8 * pick(5), 8};
            }
            case 3: return {"any-byte", pick(bytes_.size()), 1};
            default: return marked_word();
        }
    }

    Place in_region(const RegionEntry& region) {
        const std::string area = image::region_kind_name(region.kind);
        if (region.size == 0) return {"any-byte", pick(bytes_.size()), 1};
        const bool table = static_cast<uint32_t>(region.kind) >= image::kFirstTableKind;
        const size_t size = region.kind == RegionKind::kPaths ? 1
                            : table                           ? 4
                            : pick(2) == 0                    ? 8
                                                              : 1;
        return {area, region.offset + pick(region.size / size) * size, size};
    }

    // An address in an object.
    Place marked_word() {
        const RegionEntry& map = *image::find_region(header_, RegionKind::kPtrmapInternal);
        for (int tries = 0; tries < 1000; ++tries) {
            const uint64_t bit = pick(map.size * 8);
            if ((static_cast<uint8_t>(bytes_[map.offset + bit / 8]) >> (bit % 8) & 1) != 0) {
                return {"pointer", header_.objects_begin + 8 * bit, 8};
            }
        }
        return {"header", 0, 1};
    }

    void mutate(const Place& place) {
        uint64_t value = 0;
        std::memcpy(&value, bytes_.data() + place.offset, place.size);
        switch (pick(8)) {
            case 0: value ^= uint64_t{1} << pick(8 * place.size); break;
            case 1: ++value; break;
            case 2: --value; break;
            case 3: value = 0; break;
            case 4: value = ~uint64_t{0}; break;
            case 5: value = random_(); break;
            case 6: value += 16 * (pick(64) - 32); break;
            default: {  // what stands elsewhere in the same region or header
                const uint64_t near = place.offset + place.size * (pick(256) - 128);
                if (near <= bytes_.size() - place.size)
                    std::memcpy(&value, bytes_.data() + near, place.size);
            }
        }
        std::memcpy(bytes_.data() + place.offset, &value, place.size);
    }

    void repair(const Place& place) {
        Header now;
        std::memcpy(&now, bytes_.data(), sizeof now);
        const uint64_t identity = offsetof(Header, interpreter);
        if (place.offset >= identity && place.offset < identity + sizeof now.interpreter &&
            pick(2) == 0) {
            image::identity_digest(now.interpreter, now.prefix.identity);
            std::memcpy(bytes_.data(), &now, sizeof now);
        }
        const bool is_checksum = place.offset < 40 && place.offset + place.size > 24;
        if (!is_checksum) fakes::fix_checksums(bytes_);
    }

    void print_hex(const std::byte* bytes, size_t size) {
        for (size_t i = 0; i < size; ++i) std::printf("%02x", static_cast<unsigned>(bytes[i]));
    }

    void print(const Place& place, const std::vector<std::byte>& original) {
        std::printf("accepted %s %lu ", place.area.c_str(), place.offset);
        print_hex(original.data() + place.offset, place.size);
        std::printf(" ");
        print_hex(bytes_.data() + place.offset, place.size);
        std::printf(" ");
        print_hex(bytes_.data(), sizeof(image::FrozenPrefix));
        std::printf("\n");
    }

    std::vector<std::byte> bytes_;
    Header header_{};
    std::mt19937_64 random_;
    std::map<std::string, Count> counts_;
};

int print_edited(std::vector<std::byte> bytes, uint64_t offset, const std::string& hex) {
    for (size_t i = 0; i + 1 < hex.size() && offset < bytes.size(); i += 2, ++offset) {
        bytes[offset] = static_cast<std::byte>(std::stoul(hex.substr(i, 2), nullptr, 16));
    }
    fakes::fix_checksums(bytes);
    return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) return 2;
    const bool edit = std::string(argv[1]) == "--edit";
    if (edit) ++argv;
    std::ifstream file(argv[1], std::ios::binary);
    const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
    std::vector<std::byte> bytes(text.size());
    std::transform(text.begin(), text.end(), bytes.begin(),
                   [](char c) { return static_cast<std::byte>(c); });
    if (bytes.size() < sizeof(Header)) return 1;
    if (edit) return print_edited(std::move(bytes), std::stoull(argv[2]), argv[3]);
    return Forge(std::move(bytes), std::stoull(argv[2]))
        .run(std::stoull(argv[3]), std::stoull(argv[4]));
}
