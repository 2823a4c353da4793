// The steps of validate_image(). Private to the validator: validator.cc has the order of the steps
// and those about objects, object_validator.cc those about
// what is in them, table_validator.cc those about roots and lists, reference_validator.cc those
// about what both together say. Each step relies only on what the steps before it have established.
// Freestanding, like the header part, but for the memory of some bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "src/common/base/bitmap.h"
#include "src/common/image/format.h"
#include "src/common/image/validator.h"

namespace pycds::image {

struct ObjectLayout;

class Checker {
  public:
    // `header` has passed validate_header() and is the one of `image`.
    Checker(const std::byte* image, const Header& header) : image_(image), header_(header) {}

    Verdict check_padding() const;
    Verdict check_ptrmaps();
    Verdict check_externals();
    Verdict check_objects();
    Verdict check_embedded_pointers() const;
    Verdict check_contents() const;
    Verdict check_roots() const;
    Verdict check_root_index() const;
    Verdict check_lists() const;
    Verdict check_references() const;
    Verdict check_startup_strings() const;
    Verdict check_left_out() const;
    Verdict check_patterns() const;

  private:
    static constexpr uint64_t kAnySize = ~uint64_t{0};
    static constexpr uint32_t kTypes = static_cast<uint32_t>(TypeIndex::kCount);

    // Words of the object area are counted from objects_begin, as the bits of the ptrmaps.
    struct WordRange {
        uint64_t begin, end;
    };

    static Verdict bad(Defect defect, uint64_t offset) { return Verdict{defect, offset}; }
    Verdict bad_word(Defect defect, uint64_t word) const {
        return Verdict{defect, header_.objects_begin + 8 * word};
    }

    template <typename T>
    T load(uint64_t offset) const {
        T value;
        std::memcpy(&value, image_ + offset, sizeof value);
        return value;
    }
    uint64_t load_word(uint64_t word) const {
        return load<uint64_t>(header_.objects_begin + 8 * word);
    }
    // Entry `i` of a table of T.
    template <typename T>
    T entry(const RegionEntry& table, uint64_t i) const {
        return load<T>(table.offset + i * sizeof(T));
    }

    const RegionEntry& table(RegionKind kind) const { return *find_region(header_, kind); }
    uint64_t object_words() const { return (header_.objects_end - header_.objects_begin) / 8; }
    WordRange words_of(const RegionEntry& region) const {
        const uint64_t begin = (region.offset - header_.objects_begin) / 8;
        return {begin, begin + region.size / 8};
    }
    bool marked(uint64_t word) const { return internal_.test(word) || external_.test(word); }

    // Position of an address in the table of external references, or its size.
    uint64_t find_external(uint64_t address) const;
    // Number of the type that has this address, or kTypes.
    uint32_t type_at(uint64_t address) const;
    // Number of the type of the object that starts at a word, or kTypes if none starts there.
    uint32_t object_type(uint64_t word) const;
    // The same for a word offset or byte offset from the start of the image.
    uint32_t object_type_at_offset(uint64_t offset) const;
    bool in_region(uint64_t offset, RegionKind kind) const;

    bool is_array(uint64_t word, uint64_t target) const;
    Verdict check_unmarked(uint64_t from, uint64_t to) const;
    Verdict check_object_head(const RegionEntry& region, uint64_t word, uint32_t type) const;
    Verdict check_region_objects(const RegionEntry& region) const;

    // Of one object, given by its first word; `end` is where its room ends, `room` the bytes of it.
    uint64_t next_object(uint64_t word, uint64_t end) const;
    Verdict check_content(const ObjectLayout& layout, uint64_t object, uint64_t end) const;
    bool null_word(uint64_t word) const;
    bool unknown_hash(uint64_t word) const;
    bool all_marked(uint64_t first, uint64_t count, uint64_t end) const;
    bool none_marked(uint64_t first, uint64_t end) const;
    bool good_str(const ObjectLayout& layout, uint64_t object, uint64_t room) const;
    uint64_t str_size(const ObjectLayout& layout, uint64_t object) const;
    bool good_bytes(uint64_t object, uint64_t room) const;
    bool good_int(const ObjectLayout& layout, uint64_t object, uint64_t room) const;
    bool good_names(const ObjectLayout& layout, uint64_t tuple, uint64_t size) const;
    bool good_code(const ObjectLayout& layout, uint64_t object, uint64_t room) const;
    bool good_older_code(const ObjectLayout& layout, uint64_t object, uint64_t room) const;
    bool good_code_array(uint64_t word, uint64_t cells, uint32_t locals) const;
    // Of what an embedded pointer points to.
    TypeIndex pointed_type(uint64_t word) const;
    uint64_t pointed_word(uint64_t word) const;

    bool is_stored_path(uint64_t offset, uint64_t size) const;
    bool is_good_path(uint64_t offset, uint64_t size) const;
    int compare_paths(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size) const;
    Verdict check_root(const RootRecord& root, uint64_t at) const;
    Verdict check_intern_list(const RootRecord& root) const;
    bool good_frozenset(const FrozensetRecord& record, uint64_t* elements_left) const;
    bool good_filled_frozenset(const FrozensetRecord& record, const RegionEntry& region) const;
    bool good_table(uint64_t word, uint32_t size, uint32_t count) const;
    Verdict check_frozenset_list(const RootRecord& root, uint64_t* elements_left) const;

    const std::byte* image_;
    const Header& header_;
    BitmapView internal_;
    BitmapView external_;
    uint64_t type_addresses_[kTypes] = {};  // 0: not listed
};

}  // namespace pycds::image
