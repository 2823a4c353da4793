// Edits an image and makes its checksums right again, so that a test reaches what lies behind them.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "src/common/image/checksum.h"
#include "src/common/image/format.h"
#include "src/common/image/validator.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::image {

class Forge {
  public:
    explicit Forge(const fakes::TinyImageOptions& options = {.roots = 3})
        : bytes(fakes::make_tiny_image(options)) {}

    template <typename T>
    T get(uint64_t offset) const {
        T value;
        std::memcpy(&value, bytes.data() + offset, sizeof value);
        return value;
    }
    template <typename T>
    void set(uint64_t offset, T value) {
        std::memcpy(bytes.data() + offset, &value, sizeof value);
    }

    // edit(T&) on what lies at an offset.
    template <typename T, typename Edit>
    void edit_at(uint64_t offset, Edit edit) {
        T value = get<T>(offset);
        edit(value);
        set(offset, value);
    }
    template <typename Edit>
    void header(Edit edit) {
        edit_at<Header>(0, edit);
    }
    // The identity with its digest.
    template <typename Edit>
    void identity(Edit edit) {
        header([&](Header& h) {
            edit(h.interpreter);
            identity_digest(h.interpreter, h.prefix.identity);
        });
    }
    // edit(RegionEntry&) on the entry of a kind.
    template <typename Edit>
    void region(RegionKind kind, Edit edit) {
        header([&](Header& h) { edit(*const_cast<RegionEntry*>(find_region(h, kind))); });
    }
    // edit(T&) on entry `i` of a table.
    template <typename T, typename Edit>
    void entry(RegionKind kind, uint64_t i, Edit edit) {
        edit_at<T>(offset(kind) + i * sizeof(T), edit);
    }
    template <typename Edit>
    void root(uint64_t i, Edit edit) {
        entry<RootRecord>(RegionKind::kRoots, i, edit);
    }
    void set_u32(RegionKind kind, uint64_t i, uint32_t value) {
        set(offset(kind) + i * sizeof value, value);
    }
    uint32_t get_u32(RegionKind kind, uint64_t i) const {
        return get<uint32_t>(offset(kind) + i * sizeof(uint32_t));
    }

    uint64_t offset(RegionKind kind) const {
        const Header h = get<Header>(0);
        return find_region(h, kind)->offset;
    }
    uint64_t base() const { return get<Header>(0).requested_base; }

    // Sets or clears the bit of a word of the objects, given by byte offset in the image.
    void mark(RegionKind ptrmap, uint64_t word_offset, bool value = true) {
        const uint64_t bit = (word_offset - get<Header>(0).objects_begin) / 8;
        edit_at<uint64_t>(offset(ptrmap) + bit / 64 * 8, [&](uint64_t& word) {
            const uint64_t mask = uint64_t{1} << (bit % 64);
            word = value ? word | mask : word & ~mask;
        });
    }
    void mark_internal(uint64_t at) { mark(RegionKind::kPtrmapInternal, at); }
    void mark_external(uint64_t at) { mark(RegionKind::kPtrmapExternal, at); }

    // Address of a type or singleton as the image lists it.
    uint64_t external(ExternalKind kind, uint64_t index) const {
        const uint64_t table = offset(RegionKind::kExternals);
        for (uint64_t i = 0;; ++i) {
            const auto found = get<ExternalReference>(table + i * sizeof(ExternalReference));
            if (found.kind == kind && found.index == index) return found.address;
        }
    }
    uint64_t type(TypeIndex index) const {
        return external(ExternalKind::kType, static_cast<uint64_t>(index));
    }

    Verdict validate_as_is() const { return validate_image(bytes.data(), bytes.size()); }
    Verdict validate() {
        fakes::fix_checksums(bytes);
        return validate_as_is();
    }

    std::vector<std::byte> bytes;
};

}  // namespace pycds::image
