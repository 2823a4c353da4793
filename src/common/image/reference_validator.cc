// The steps of the validator about what objects and tables together say, which need both to be good
// already.
#include <cstdlib>

#include "src/common/base/checked.h"
#include "src/common/image/checker.h"
#include "src/common/image/object_layout.h"

namespace pycds::image {
namespace {

// A bit for each word of the objects.
class Notes {
  public:
    explicit Notes(uint64_t words)
        : bits_(static_cast<uint64_t*>(std::calloc(bitmap_words(words) + 1, sizeof *bits_))) {}
    Notes(const Notes&) = delete;
    Notes& operator=(const Notes&) = delete;
    ~Notes() { std::free(bits_); }

    bool made() const { return bits_ != nullptr; }
    bool test(uint64_t word) const { return (bits_[word / 64] >> (word % 64) & 1) != 0; }
    void set(uint64_t word) { bits_[word / 64] |= uint64_t{1} << (word % 64); }

  private:
    uint64_t* bits_;
};

}  // namespace

// What belongs to one module is made right for a process when that module is handed out, by the lists of
// its root. So what they are about may be referred to by nothing that they do not know:
//   - a module's code object by its root alone. Who got it from elsewhere would run it without them.
//   - a string that a list names by the slots listed. A process may have another string in its place, and
//     then leaves the one of the image as it is, be it right or not (client/loader/relocation.h).
Verdict Checker::check_references() const {
    const RegionEntry& roots = table(RegionKind::kRoots);
    const RegionEntry& lists = table(RegionKind::kInternLists);
    const uint64_t words = object_words();
    // Module code objects and listed strings, by their first words, and listed slots, which are no such.
    Notes noted(words);
    if (!noted.made()) return bad(Defect::kNoMemory, lists.offset);
    for (uint64_t i = 0; i < roots.count; ++i) {
        const uint64_t at = roots.offset + i * sizeof(RootRecord) + offsetof(RootRecord, code_offset);
        const uint64_t word = (load<uint64_t>(at) - header_.objects_begin) / 8;
        if (noted.test(word)) return bad(Defect::kRootCode, at);
        noted.set(word);
    }
    // The lists of all roots are one sequence of strings with their slots.
    const auto word_at = [&](uint64_t i) {
        return entry<uint32_t>(lists, i) - header_.objects_begin / 8;
    };
    for (uint64_t i = 0; i < lists.count;) {
        noted.set(word_at(i));
        const uint64_t slots = entry<uint32_t>(lists, i + 1);
        i += 2;
        for (const uint64_t last = i + slots; i < last; ++i) {
            if (noted.test(word_at(i))) {
                return bad(Defect::kInternEntry, lists.offset + i * sizeof(uint32_t));
            }
            noted.set(word_at(i));
        }
    }
    for (uint64_t word = internal_.find_next(0); word < words;
         word = internal_.find_next(word + 1)) {
        // A table of a frozenset may begin with a listed slot, which is no object.
        const TypeIndex type = pointed_type(word);
        if (type == TypeIndex::kCount || !noted.test(pointed_word(word)) || noted.test(word)) continue;
        return bad_word(type == TypeIndex::kCode ? Defect::kRootCode : Defect::kInternEntry, word);
    }
    return {};
}

// A client takes the strings of the start for one behind the other.
Verdict Checker::check_startup_strings() const {
    const ObjectLayout* layout = object_layout(header_.interpreter.hexversion);
    if (layout == nullptr || header_.startup_strings_size == 0) return {};
    const uint64_t begin = words_of(*find_region(header_, RegionKind::kStrInterned)).begin;
    uint64_t word = begin;
    while (8 * (word - begin) < header_.startup_strings_size) {
        if (object_type(word) != static_cast<uint32_t>(TypeIndex::kStr)) {
            return bad_word(Defect::kObjectContent, word);
        }
        word += align_up(str_size(*layout, word), kObjectAlignment) / 8;
    }
    return {};
}

// Of a string that lies in the room it has.
uint64_t Checker::str_size(const ObjectLayout& layout, uint64_t object) const {
    const uint64_t at = header_.objects_begin + 8 * object;
    const auto state = load<uint32_t>(at + kStrState);
    const uint64_t kind = state >> kStrKindShift & 7;
    const uint64_t data = (state & kStrAscii) != 0 ? layout.ascii_data : layout.compact_data;
    return data + (load<uint64_t>(at + kObjectSize) + 1) * kind;
}

}  // namespace pycds::image
