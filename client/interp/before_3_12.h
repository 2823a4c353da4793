// What 3.9, 3.10 and 3.11 have in common: reference counts without immortality, strings with the
// wchar_t cache, ints whose sign is that of their size.
// Sources: Include/cpython/unicodeobject.h and longintrepr.h of 3.9.18, 3.10.13 and 3.11.2.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>

#include "client/interp/coverage.h"
#include "client/interp/str_header.h"
#include "client/interp/validated_layout.h"

namespace pycds::interp {

// No immortal objects before 3.12. Half the range of Py_ssize_t is out of reach of any number of
// increments or decrements; each touch still dirties the page.
inline constexpr uint64_t kImageRefcount = uint64_t{1} << 40;
static_assert(kImageRefcount == kValidated.refcount);
inline constexpr bool kRefcountsAreWritten = true;
inline constexpr bool kHasCoVersion = false;
// Its address, like that of any object (Objects/object.c _PyNone_Type).
inline constexpr bool kNoneHasFixedHash = false;

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

static_assert(covers(PYCDS_STR_FIELDS, 0, sizeof(PyASCIIObject), alignof(PyASCIIObject)));
static_assert(covers(PYCDS_COMPACT_STR_FIELDS, 0, sizeof(PyCompactUnicodeObject),
                     alignof(PyCompactUnicodeObject)));
static_assert(covers(PYCDS_INT_FIELDS, 0, sizeof(PyLongObject), alignof(PyLongObject)));

// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(sizeof(PyASCIIObject) == 48 && sizeof(PyCompactUnicodeObject) == 72);
static_assert(sizeof(PyLongObject) == 32);

inline constexpr unsigned long long kMortalLayoutDigest =
    digest_of(PYCDS_STR_FIELDS, digest_of(PYCDS_COMPACT_STR_FIELDS, digest_of(PYCDS_INT_FIELDS)));

#undef PYCDS_STR_FIELDS
#undef PYCDS_COMPACT_STR_FIELDS
#undef PYCDS_INT_FIELDS

// Neither has it learned its hash, on which a dict may rely, nor got a cache.
inline bool str_is_disposable(PyObject* str, bool had_hash) {
    const auto* ascii = reinterpret_cast<const PyASCIIObject*>(str);
    if ((ascii->hash != -1 && !had_hash) || ascii->wstr != nullptr) return false;
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
