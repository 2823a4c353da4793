// CPython 3.13: object layouts and what of them is written at run time.
// Sources: Include/cpython/{code,unicodeobject,setobject,longintrepr}.h of 3.13.5;
// Objects/codeobject.c init_code() for the fields that are not copied.
#pragma once

#include <cstdint>
#include <cstring>

#include "client/interp/coverage.h"
#include "client/interp/validated_layout.h"

#ifdef Py_GIL_DISABLED
#error "free-threaded builds are not supported: their objects have another header"
#endif

namespace pycds::interp {

// _Py_IMMORTAL_REFCNT, UINT_MAX: the one value that neither Py_INCREF nor Py_DECREF writes
// (Include/object.h); any other immortal value is incremented until it saturates.
inline constexpr uint64_t kImageRefcount = 0xffffffffU;
static_assert(kImageRefcount == kValidated.refcount);
inline constexpr bool kRefcountsAreWritten = false;
inline constexpr bool kHasCoVersion = true;

#define PYCDS_CODE_FIELDS                                                                        \
    {                                                                                            \
        PYCDS_FIELD(PyCodeObject, ob_base), PYCDS_FIELD(PyCodeObject, co_consts),                \
            PYCDS_FIELD(PyCodeObject, co_names), PYCDS_FIELD(PyCodeObject, co_exceptiontable),   \
            PYCDS_FIELD(PyCodeObject, co_flags), PYCDS_FIELD(PyCodeObject, co_argcount),         \
            PYCDS_FIELD(PyCodeObject, co_posonlyargcount),                                       \
            PYCDS_FIELD(PyCodeObject, co_kwonlyargcount),                                        \
            PYCDS_FIELD(PyCodeObject, co_stacksize), PYCDS_FIELD(PyCodeObject, co_firstlineno),  \
            PYCDS_FIELD(PyCodeObject, co_nlocalsplus), PYCDS_FIELD(PyCodeObject, co_framesize),  \
            PYCDS_FIELD(PyCodeObject, co_nlocals), PYCDS_FIELD(PyCodeObject, co_ncellvars),      \
            PYCDS_FIELD(PyCodeObject, co_nfreevars), PYCDS_FIELD(PyCodeObject, co_version),      \
            PYCDS_FIELD(PyCodeObject, co_localsplusnames),                                       \
            PYCDS_FIELD(PyCodeObject, co_localspluskinds),                                       \
            PYCDS_FIELD(PyCodeObject, co_filename), PYCDS_FIELD(PyCodeObject, co_name),          \
            PYCDS_FIELD(PyCodeObject, co_qualname), PYCDS_FIELD(PyCodeObject, co_linetable),     \
            PYCDS_FIELD(PyCodeObject, co_weakreflist), PYCDS_FIELD(PyCodeObject, co_executors),  \
            PYCDS_FIELD(PyCodeObject, _co_cached),                                               \
            PYCDS_FIELD(PyCodeObject, _co_instrumentation_version),                              \
            PYCDS_FIELD(PyCodeObject, _co_monitoring),                                           \
            PYCDS_FIELD(PyCodeObject, _co_firsttraceable), PYCDS_FIELD(PyCodeObject, co_extra),  \
            PYCDS_FIELD(PyCodeObject, co_code_adaptive)                                          \
    }
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

static_assert(covers(PYCDS_CODE_FIELDS, 0, sizeof(PyCodeObject), alignof(PyCodeObject)));
static_assert(covers(PYCDS_STR_FIELDS, 0, sizeof(PyASCIIObject), alignof(PyASCIIObject)));
static_assert(covers(PYCDS_COMPACT_STR_FIELDS, 0, sizeof(PyCompactUnicodeObject),
                     alignof(PyCompactUnicodeObject)));
static_assert(covers(PYCDS_INT_FIELDS, 0, sizeof(PyLongObject), alignof(PyLongObject)));
static_assert(covers(PYCDS_INT_VALUE_FIELDS, 0, sizeof(_PyLongValue), alignof(_PyLongValue)));

// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(offsetof(PyCodeObject, co_code_adaptive) == 200);
static_assert(sizeof(PyASCIIObject) == 40 && sizeof(PyCompactUnicodeObject) == 56);
static_assert(sizeof(PyLongObject) == 32);

inline constexpr unsigned long long kVersionLayoutDigest = digest_of(
    PYCDS_CODE_FIELDS,
    digest_of(PYCDS_STR_FIELDS, digest_of(PYCDS_COMPACT_STR_FIELDS,
                                          digest_of(PYCDS_INT_FIELDS,
                                                    digest_of(PYCDS_INT_VALUE_FIELDS)))));

#undef PYCDS_CODE_FIELDS
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

// _Py_CODEUNIT (Include/internal/pycore_code.h since 3.13): opcode and argument, a byte each.
inline constexpr size_t kCodeUnitSize = 2;

inline size_t code_size(const PyCodeObject* code) {
    return offsetof(PyCodeObject, co_code_adaptive) +
           static_cast<size_t>(Py_SIZE(code)) * kCodeUnitSize;
}

// Nothing counts runs; specialisation writes from the first on.
inline constexpr Field kRunCounter = {0, 0, 1};

inline void reset_code(PyCodeObject* copy, uint32_t co_version) {
    copy->co_version = co_version;
    copy->co_weakreflist = nullptr;
    copy->co_executors = nullptr;
    copy->_co_cached = nullptr;
    copy->_co_instrumentation_version = 0;
    copy->_co_monitoring = nullptr;
    copy->co_extra = nullptr;
    // Padding holds what malloc left there: not the same twice, and nobody's business.
    constexpr size_t padding =
        offsetof(PyCodeObject, _co_firsttraceable) + sizeof(copy->_co_firsttraceable);
    std::memset(reinterpret_cast<char*>(copy) + padding, 0,
                offsetof(PyCodeObject, co_extra) - padding);
}

// Nothing of others hangs on it, so that it may become again what it was when it was made. What is
// monitored has other instructions, which go with _co_monitoring.
inline bool code_is_disposable(const PyCodeObject* code) {
    return code->co_weakreflist == nullptr && code->co_extra == nullptr &&
           code->co_executors == nullptr && code->_co_cached == nullptr &&
           code->_co_monitoring == nullptr;
}

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
    ascii->state.statically_allocated = 0;
    if (!ascii->state.ascii) {
        auto* compact = static_cast<PyCompactUnicodeObject*>(copy);
        compact->utf8 = nullptr;
        compact->utf8_length = 0;
    }
}

// `str` is an interned heap string of the process: what immortalize_interned() does to it
// (SSTATE_INTERNED_IMMORTAL).
inline void make_immortal(PyObject* str) {
    str->ob_refcnt = kImageRefcount;
    reinterpret_cast<PyASCIIObject*>(str)->state.interned = 2;
}

// Bytes of an int object with its digits (lv_tag >> _PyLong_NON_SIZE_BITS is their number).
inline size_t int_size(PyObject* value) {
    const size_t digits = reinterpret_cast<PyLongObject*>(value)->long_value.lv_tag >> 3;
    return offsetof(PyLongObject, long_value.ob_digit) + (digits == 0 ? 1 : digits) * sizeof(digit);
}

}  // namespace pycds::interp
