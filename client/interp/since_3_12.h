// What CPython has had in common since 3.12, when objects became immortal. Included by those versions'
// headers, which before it say kImageRefcount, kImmortalRefcount (the first 8 bytes of an immortal string on the
// heap), and kImageStringsAreStatic. Sources: Include/cpython/{unicodeobject,longintrepr}.h of 3.12.1, 3.13.0,
// 3.13.5 and 3.14.8.
#pragma once

#include <cstdint>
#include <cstring>

#include "client/interp/coverage.h"

namespace pycds::interp {

inline constexpr bool kRefcountsAreWritten = false;
inline constexpr bool kHasCoVersion = true;

#define PYCDS_STR_FIELDS                                                         \
    {                                                                            \
        PYCDS_FIELD(PyASCIIObject, ob_base), PYCDS_FIELD(PyASCIIObject, length), \
            PYCDS_FIELD(PyASCIIObject, hash), PYCDS_FIELD(PyASCIIObject, state)  \
    }
#define PYCDS_COMPACT_STR_FIELDS                                  \
    {                                                             \
        PYCDS_FIELD(PyCompactUnicodeObject, _base),               \
            PYCDS_FIELD(PyCompactUnicodeObject, utf8_length),     \
            PYCDS_FIELD(PyCompactUnicodeObject, utf8)             \
    }
#define PYCDS_INT_FIELDS                                                               \
    {                                                                                  \
        PYCDS_FIELD(PyLongObject, ob_base), PYCDS_FIELD(PyLongObject, long_value)      \
    }

#define PYCDS_INT_VALUE_FIELDS                                                         \
    {                                                                                  \
        PYCDS_FIELD(_PyLongValue, lv_tag), PYCDS_FIELD(_PyLongValue, ob_digit)         \
    }

static_assert(covers(PYCDS_STR_FIELDS, 0, sizeof(PyASCIIObject), alignof(PyASCIIObject)));
static_assert(covers(PYCDS_COMPACT_STR_FIELDS, 0, sizeof(PyCompactUnicodeObject),
                     alignof(PyCompactUnicodeObject)));
static_assert(covers(PYCDS_INT_FIELDS, 0, sizeof(PyLongObject), alignof(PyLongObject)));
static_assert(covers(PYCDS_INT_VALUE_FIELDS, 0, sizeof(_PyLongValue), alignof(_PyLongValue)));

// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(sizeof(PyASCIIObject) == 40 && sizeof(PyCompactUnicodeObject) == 56);
static_assert(sizeof(PyLongObject) == 32);

inline constexpr unsigned long long kCommonLayoutDigest =
    digest_of(PYCDS_STR_FIELDS,
              digest_of(PYCDS_COMPACT_STR_FIELDS,
                        digest_of(PYCDS_INT_FIELDS, digest_of(PYCDS_INT_VALUE_FIELDS))));

#undef PYCDS_STR_FIELDS
#undef PYCDS_COMPACT_STR_FIELDS
#undef PYCDS_INT_FIELDS
#undef PYCDS_INT_VALUE_FIELDS

inline constexpr size_t kCodePointers[] = {
    offsetof(PyCodeObject, co_consts),          offsetof(PyCodeObject, co_names),
    offsetof(PyCodeObject, co_exceptiontable),  offsetof(PyCodeObject, co_localsplusnames),
    offsetof(PyCodeObject, co_localspluskinds), offsetof(PyCodeObject, co_filename),
    offsetof(PyCodeObject, co_name),            offsetof(PyCodeObject, co_qualname),
    offsetof(PyCodeObject, co_linetable),
};

// _Py_CODEUNIT (Include/internal/pycore_code.h or, in 3.12, Include/cpython/code.h): opcode and argument, a byte each.
inline constexpr size_t kCodeUnitSize = 2;

inline size_t code_size(const PyCodeObject* code) {
    return offsetof(PyCodeObject, co_code_adaptive) +
           static_cast<size_t>(Py_SIZE(code)) * kCodeUnitSize;
}

// Nothing counts runs; specialisation writes from the first on.
inline constexpr Field kRunCounter = {0, 0, 1};

// Neither its hash is known, on which a dict may rely, nor has it a cache.
inline bool str_is_disposable(PyObject* str) {
    return reinterpret_cast<const PyASCIIObject*>(str)->hash == -1 &&
           (reinterpret_cast<const PyASCIIObject*>(str)->state.ascii != 0 ||
            reinterpret_cast<const PyCompactUnicodeObject*>(str)->utf8 == nullptr);
}

// An interned string keeps its mark (SSTATE_INTERNED_IMMORTAL), which becomes true when a client makes it
// the canonical one; where none does, nobody gets to see it (docs/interning.md).
//
// `copy` is a copy of a compact string. The UTF-8 cache is the runtime's to fill (by malloc), so an
// image has none; for ASCII the UTF-8 form is the data itself.
inline void reset_str(void* copy, bool interned) {
    auto* ascii = static_cast<PyASCIIObject*>(copy);
    // The named bits of `state` are its first eight; the rest, and the padding behind it, hold what
    // malloc left there.
    char* state = static_cast<char*>(copy) + offsetof(PyASCIIObject, state);
    std::memset(state + 1, 0, sizeof(uint64_t) - 1);
    ascii->hash = -1;
    ascii->state.interned = interned ? 2 : 0;
    ascii->state.statically_allocated = kImageStringsAreStatic;
    if (!ascii->state.ascii) {
        auto* compact = static_cast<PyCompactUnicodeObject*>(copy);
        compact->utf8 = nullptr;
        compact->utf8_length = 0;
    }
}

// `str` is an interned heap string of the process: what immortalize_interned() does to it
// (SSTATE_INTERNED_IMMORTAL).
inline void make_immortal(PyObject* str) {
    std::memcpy(static_cast<void*>(str), &kImmortalRefcount, sizeof kImmortalRefcount);
    reinterpret_cast<PyASCIIObject*>(str)->state.interned = 2;
}

// Bytes of an int object with its digits (lv_tag >> _PyLong_NON_SIZE_BITS is their number). Those
// that the third bit marks as small (3.14) are the interpreter's own.
inline size_t int_size(PyObject* value) {
    const size_t digits = reinterpret_cast<PyLongObject*>(value)->long_value.lv_tag >> 3;
    return offsetof(PyLongObject, long_value.ob_digit) + (digits == 0 ? 1 : digits) * sizeof(digit);
}

}  // namespace pycds::interp
