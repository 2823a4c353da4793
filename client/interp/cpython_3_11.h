// CPython 3.11: object layouts and what of them is written at run time.
// Sources: Include/cpython/{code,unicodeobject,setobject,longintrepr}.h of 3.11.2;
// Objects/codeobject.c init_code() for the fields that are not copied.
#pragma once

#include <cstdint>
#include <cstring>

#include "client/interp/coverage.h"
#include "client/interp/since_3_11.h"
#include "client/interp/validated_layout.h"

namespace pycds::interp {

// No immortal objects before 3.12. Half the range of Py_ssize_t is out of reach of any number of
// increments or decrements; each touch still dirties the page.
inline constexpr uint64_t kImageRefcount = uint64_t{1} << 40;
static_assert(kImageRefcount == kValidated.refcount);
inline constexpr bool kRefcountsAreWritten = true;
inline constexpr bool kHasCoVersion = false;

#define PYCDS_CODE_FIELDS                                                                        \
    {                                                                                            \
        PYCDS_FIELD(PyCodeObject, ob_base), PYCDS_FIELD(PyCodeObject, co_consts),                \
            PYCDS_FIELD(PyCodeObject, co_names), PYCDS_FIELD(PyCodeObject, co_exceptiontable),   \
            PYCDS_FIELD(PyCodeObject, co_flags), PYCDS_FIELD(PyCodeObject, co_warmup),           \
            PYCDS_FIELD(PyCodeObject, _co_linearray_entry_size),                                 \
            PYCDS_FIELD(PyCodeObject, co_argcount),                                              \
            PYCDS_FIELD(PyCodeObject, co_posonlyargcount),                                       \
            PYCDS_FIELD(PyCodeObject, co_kwonlyargcount),                                        \
            PYCDS_FIELD(PyCodeObject, co_stacksize), PYCDS_FIELD(PyCodeObject, co_firstlineno),  \
            PYCDS_FIELD(PyCodeObject, co_nlocalsplus), PYCDS_FIELD(PyCodeObject, co_nlocals),    \
            PYCDS_FIELD(PyCodeObject, co_nplaincellvars),                                        \
            PYCDS_FIELD(PyCodeObject, co_ncellvars), PYCDS_FIELD(PyCodeObject, co_nfreevars),    \
            PYCDS_FIELD(PyCodeObject, co_localsplusnames),                                       \
            PYCDS_FIELD(PyCodeObject, co_localspluskinds),                                       \
            PYCDS_FIELD(PyCodeObject, co_filename), PYCDS_FIELD(PyCodeObject, co_name),          \
            PYCDS_FIELD(PyCodeObject, co_qualname), PYCDS_FIELD(PyCodeObject, co_linetable),     \
            PYCDS_FIELD(PyCodeObject, co_weakreflist), PYCDS_FIELD(PyCodeObject, _co_code),      \
            PYCDS_FIELD(PyCodeObject, _co_linearray),                                            \
            PYCDS_FIELD(PyCodeObject, _co_firsttraceable), PYCDS_FIELD(PyCodeObject, co_extra),  \
            PYCDS_FIELD(PyCodeObject, co_code_adaptive)                                          \
    }
#define PYCDS_STR_FIELDS                                                            \
    {                                                                               \
        PYCDS_FIELD(PyASCIIObject, ob_base), PYCDS_FIELD(PyASCIIObject, length),    \
            PYCDS_FIELD(PyASCIIObject, hash), PYCDS_FIELD(PyASCIIObject, state),    \
            PYCDS_FIELD(PyASCIIObject, wstr)                                        \
    }
#define PYCDS_COMPACT_STR_FIELDS                                                              \
    {                                                                                         \
        PYCDS_FIELD(PyCompactUnicodeObject, _base),                                           \
            PYCDS_FIELD(PyCompactUnicodeObject, utf8_length),                                 \
            PYCDS_FIELD(PyCompactUnicodeObject, utf8),                                        \
            PYCDS_FIELD(PyCompactUnicodeObject, wstr_length)                                  \
    }
#define PYCDS_INT_FIELDS                                                             \
    {                                                                                \
        PYCDS_FIELD(PyLongObject, ob_base), PYCDS_FIELD(PyLongObject, ob_digit)      \
    }

static_assert(covers(PYCDS_CODE_FIELDS, 0, sizeof(PyCodeObject), alignof(PyCodeObject)));
static_assert(covers(PYCDS_STR_FIELDS, 0, sizeof(PyASCIIObject), alignof(PyASCIIObject)));
static_assert(covers(PYCDS_COMPACT_STR_FIELDS, 0, sizeof(PyCompactUnicodeObject),
                     alignof(PyCompactUnicodeObject)));
static_assert(covers(PYCDS_INT_FIELDS, 0, sizeof(PyLongObject), alignof(PyLongObject)));

// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(offsetof(PyCodeObject, co_code_adaptive) == 184);
static_assert(sizeof(PyASCIIObject) == 48 && sizeof(PyCompactUnicodeObject) == 72);
static_assert(sizeof(PyLongObject) == 32);

inline constexpr unsigned long long kVersionLayoutDigest = digest_of(
    PYCDS_CODE_FIELDS,
    digest_of(PYCDS_STR_FIELDS, digest_of(PYCDS_COMPACT_STR_FIELDS, digest_of(PYCDS_INT_FIELDS))));

#undef PYCDS_CODE_FIELDS
#undef PYCDS_STR_FIELDS
#undef PYCDS_COMPACT_STR_FIELDS
#undef PYCDS_INT_FIELDS

// QUICKENING_INITIAL_WARMUP_VALUE of Include/internal/pycore_code.h: -QUICKENING_WARMUP_DELAY.
inline constexpr short kInitialWarmup = -8;

// What a code object counts its first runs with, besides what specialisation writes.
inline constexpr Field kRunCounter = PYCDS_FIELD(PyCodeObject, co_warmup);

inline void reset_code(PyCodeObject* copy, uint32_t /*co_version*/) {
    copy->co_warmup = kInitialWarmup;
    copy->_co_linearray_entry_size = 0;
    copy->co_weakreflist = nullptr;
    copy->_co_code = nullptr;
    copy->_co_linearray = nullptr;
    copy->co_extra = nullptr;
    clear_padding(copy);
}

// Nothing of others hangs on it, so that it may become again what it was when it was made.
inline bool code_is_disposable(const PyCodeObject* code) {
    return code->co_weakreflist == nullptr && code->co_extra == nullptr && code->_co_code == nullptr &&
           code->_co_linearray == nullptr;
}

// Neither its hash is known, on which a dict may rely, nor has it a cache.
inline bool str_is_disposable(PyObject* str) {
    const auto* ascii = reinterpret_cast<const PyASCIIObject*>(str);
    if (ascii->hash != -1 || ascii->wstr != nullptr) return false;
    return ascii->state.ascii != 0 ||
           reinterpret_cast<const PyCompactUnicodeObject*>(str)->utf8 == nullptr;
}

// `copy` is a copy of a compact, ready string. Caches are the runtime's to fill (by malloc), so an
// image has none; for ASCII the UTF-8 form is the data itself.
inline void reset_str(void* copy, bool interned) {
    auto* ascii = reset_str_header(copy, interned);
    ascii->wstr = nullptr;
    if (!ascii->state.ascii) {
        auto* compact = static_cast<PyCompactUnicodeObject*>(copy);
        compact->utf8 = nullptr;
        compact->utf8_length = 0;
        compact->wstr_length = 0;
    }
}

// `str` is a heap string of the process. As many references as an image object has.
inline void make_immortal(PyObject* str) { str->ob_refcnt += static_cast<Py_ssize_t>(kImageRefcount); }

// Bytes of an int object with its digits.
inline size_t int_size(PyObject* value) {
    const Py_ssize_t size = Py_SIZE(value);
    const size_t digits = static_cast<size_t>(size < 0 ? -size : size);
    return offsetof(PyLongObject, ob_digit) + (digits == 0 ? 1 : digits) * sizeof(digit);
}

}  // namespace pycds::interp
