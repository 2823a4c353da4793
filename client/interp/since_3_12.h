// What CPython has had in common since 3.12, when objects became immortal. Included by those versions'
// headers, which before it say kImageRefcount, kImmortalRefcount (the first 8 bytes of an immortal string on the
// heap), and kImageStringsAreStatic. Sources: Include/cpython/{code,unicodeobject,longintrepr}.h of 3.12.1, 3.13.0,
// 3.13.5 and 3.14.8.
#pragma once

#include <cstdint>
#include <cstring>

#include "client/interp/coverage.h"
#include "client/interp/since_3_11.h"

namespace pycds::interp {

inline constexpr bool kRefcountsAreWritten = false;
inline constexpr bool kHasCoVersion = true;
// Objects/object.c none_hash().
inline constexpr bool kNoneHasFixedHash = true;

// Fields of code objects that follow one another in all of them.
#define PYCDS_CODE_FIELDS_TO_WEAKREFS                                                          \
    PYCDS_FIELD(PyCodeObject, ob_base), PYCDS_FIELD(PyCodeObject, co_consts),                  \
        PYCDS_FIELD(PyCodeObject, co_names), PYCDS_FIELD(PyCodeObject, co_exceptiontable),     \
        PYCDS_FIELD(PyCodeObject, co_flags), PYCDS_FIELD(PyCodeObject, co_argcount),           \
        PYCDS_FIELD(PyCodeObject, co_posonlyargcount),                                         \
        PYCDS_FIELD(PyCodeObject, co_kwonlyargcount), PYCDS_FIELD(PyCodeObject, co_stacksize), \
        PYCDS_FIELD(PyCodeObject, co_firstlineno), PYCDS_FIELD(PyCodeObject, co_nlocalsplus),  \
        PYCDS_FIELD(PyCodeObject, co_framesize), PYCDS_FIELD(PyCodeObject, co_nlocals),        \
        PYCDS_FIELD(PyCodeObject, co_ncellvars), PYCDS_FIELD(PyCodeObject, co_nfreevars),      \
        PYCDS_FIELD(PyCodeObject, co_version), PYCDS_FIELD(PyCodeObject, co_localsplusnames),  \
        PYCDS_FIELD(PyCodeObject, co_localspluskinds), PYCDS_FIELD(PyCodeObject, co_filename), \
        PYCDS_FIELD(PyCodeObject, co_name), PYCDS_FIELD(PyCodeObject, co_qualname),            \
        PYCDS_FIELD(PyCodeObject, co_linetable), PYCDS_FIELD(PyCodeObject, co_weakreflist)
#define PYCDS_CODE_FIELDS_CACHED_TO_MONITORING                     \
    PYCDS_FIELD(PyCodeObject, _co_cached),                         \
        PYCDS_FIELD(PyCodeObject, _co_instrumentation_version),    \
        PYCDS_FIELD(PyCodeObject, _co_monitoring)
#define PYCDS_CODE_FIELDS_FROM_TRACEABLE                                                        \
    PYCDS_FIELD(PyCodeObject, _co_firsttraceable), PYCDS_FIELD(PyCodeObject, co_extra),         \
        PYCDS_FIELD(PyCodeObject, co_code_adaptive)

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

// Those of them that a process may have written.
inline void reset_shared_code_fields(PyCodeObject* copy, uint32_t co_version) {
    copy->co_version = co_version;
    copy->co_weakreflist = nullptr;
    copy->_co_cached = nullptr;
    copy->_co_instrumentation_version = 0;
    copy->_co_monitoring = nullptr;
    copy->co_extra = nullptr;
    clear_padding(copy);
}

// Nothing of others hangs on those, so that it may become again what it was when it was made. What is
// monitored has other instructions, which go with _co_monitoring.
inline bool shared_code_fields_are_disposable(const PyCodeObject* code) {
    return code->co_weakreflist == nullptr && code->co_extra == nullptr &&
           code->_co_cached == nullptr && code->_co_monitoring == nullptr;
}

// Nothing counts runs; specialisation writes from the first on.
inline constexpr Field kRunCounter = {0, 0, 1};

// Neither has it learned its hash, on which a dict may rely, nor got a cache.
inline bool str_is_disposable(PyObject* str, bool had_hash) {
    return (had_hash || reinterpret_cast<const PyASCIIObject*>(str)->hash == -1) &&
           (reinterpret_cast<const PyASCIIObject*>(str)->state.ascii != 0 ||
            reinterpret_cast<const PyCompactUnicodeObject*>(str)->utf8 == nullptr);
}

// `copy` is a copy of a compact string. The UTF-8 cache is the runtime's to fill (by malloc), so an
// image has none; for ASCII the UTF-8 form is the data itself.
inline void reset_str(void* copy, bool interned) {
    auto* ascii = reset_str_header(copy, interned);
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
