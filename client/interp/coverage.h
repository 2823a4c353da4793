// Compile-time proof that we know every field of a CPython struct.
//
// Each client/interp/cpython_3_NN.h lists the fields of the structs that an image holds, in order.
// A field that CPython adds, removes, moves or resizes leaves a gap or an overlap that natural
// alignment does not explain, and the build of the client for that version stops there. (A new
// field that fits into existing padding is the one change this cannot see; the builder's self-test
// compares each copied object with its source through the public API.)
#pragma once

#include <cstddef>
#include <initializer_list>

namespace pycds::interp {

struct Field {
    size_t offset;
    size_t size;
    size_t alignment;
};

// Offset of a field that a version does not have.
inline constexpr size_t kNoField = ~size_t{0};

constexpr bool covers(std::initializer_list<Field> fields, size_t begin, size_t end,
                      size_t struct_alignment) {
    size_t at = begin;
    for (const Field& field : fields) {
        const size_t expected = (at + field.alignment - 1) / field.alignment * field.alignment;
        if (field.offset != expected) return false;
        at = field.offset + field.size;
    }
    return (at + struct_alignment - 1) / struct_alignment * struct_alignment == end;
}

// FNV-1a over the fields, so that the layout is part of the interpreter identity.
constexpr unsigned long long digest_of(std::initializer_list<Field> fields,
                                       unsigned long long seed = 0xcbf29ce484222325ULL) {
    for (const Field& field : fields) {
        seed = (seed ^ field.offset) * 0x100000001b3ULL;
        seed = (seed ^ field.size) * 0x100000001b3ULL;
    }
    return seed;
}

}  // namespace pycds::interp

#define PYCDS_FIELD(type, member) \
    ::pycds::interp::Field{offsetof(type, member), sizeof(type::member), alignof(decltype(type::member))}
