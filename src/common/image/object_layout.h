// Where CPython keeps what says how large an object is and what it points to, as far as the
// validator looks at it. client/interp/common_layout.h checks each line against the headers of the
// version that it is compiled with. 64-bit, in bytes.
#pragma once

#include <cstdint>

namespace pycds::image {

struct ObjectLayout {
    uint32_t minor;              // of CPython 3
    uint32_t tuple_items;        // offset of the first item; a hash comes before it (3.14) if that is not 24
    uint32_t ascii_data;         // offset of the characters of an ASCII string
    uint32_t compact_data;       // of those of any other
    uint32_t code_locals;        // int: variables, from 3.11 on of all kinds
    uint32_t code_stacksize;     // int
    uint32_t code_traceable;     // int, with padding behind it: _co_firsttraceable; 0: none (before 3.11)
    uint32_t code_size;          // of a code object without the instructions in it, if it has them (3.11)
    uint32_t code_array;         // offset of a pointer to an array, co_cell2arg; 0: none (3.11)
    uint64_t refcount;           // of every object of an image: client/interp says why
    bool int_has_tag;            // size of an int: lv_tag >> 3 (3.12), or ob_size
};

inline constexpr ObjectLayout kObjectLayouts[] = {
    {9, 24, 48, 72, 28, 32, 0, 176, 96, uint64_t{1} << 40, false},
    {10, 24, 48, 72, 28, 32, 0, 176, 96, uint64_t{1} << 40, false},
    {11, 24, 48, 72, 76, 68, 168, 184, 0, uint64_t{1} << 40, false},
    {12, 24, 40, 56, 72, 64, 176, 192, 0, 0xffffffff, true},
    {13, 24, 40, 56, 72, 64, 184, 200, 0, 0xffffffff, true},
    {14, 32, 40, 56, 72, 64, 192, 208, 0, 0xc0000000 | uint64_t{5} << 48, true},
};

// The layout of a version (PY_VERSION_HEX), or nullptr: then the validator takes objects for words,
// some of which are pointers.
constexpr const ObjectLayout* object_layout(uint32_t hexversion) {
    if (hexversion >> 24 != 3) return nullptr;
    for (const ObjectLayout& layout : kObjectLayouts) {
        if (layout.minor == (hexversion >> 16 & 0xff)) return &layout;
    }
    return nullptr;
}

// The same in all of them.
inline constexpr uint32_t kObjectSize = 16;  // ob_size, length, lv_tag
inline constexpr uint32_t kBytesData = 32;
inline constexpr uint32_t kIntDigits = 24;
inline constexpr uint32_t kTupleHash = 24;
inline constexpr uint32_t kStrHash = 24;
inline constexpr uint32_t kStrState = 32;     // 32 bits:
inline constexpr uint32_t kStrKindShift = 2;  //   three of them bytes of a character
inline constexpr uint32_t kStrCompact = 1U << 5;
inline constexpr uint32_t kStrAscii = 1U << 6;
inline constexpr uint32_t kSetFill = 16;   // then used, mask, of 64 bits each
inline constexpr uint32_t kSetTable = 40;  // then hash, finger
inline constexpr uint32_t kSetSmallTable = 64;
inline constexpr uint32_t kSetSmallTableSize = 8;  // entries of a key and its hash
inline constexpr uint32_t kSetWeakrefs = 192;
inline constexpr uint32_t kSetSize = 200;
// All after it are caches and weak references: from 3.11 on; before.
inline constexpr uint32_t kCodePointersEnd = 144;
inline constexpr uint32_t kOlderCodePointersEnd = 128;

}  // namespace pycds::image
