// Layouts that all supported versions share, checked against the headers of the one at hand.
// Sources: Include/cpython/{bytesobject,tupleobject,setobject,floatobject,complexobject}.h,
// Include/sliceobject.h and Include/object.h of 3.9.18, 3.10.13, 3.11.2,
// 3.13.5 and 3.14.8; Include/internal/pycore_gc.h for the collector's header.
#pragma once

#include "client/interp/interp.h"

namespace pycds::interp {

// PyGC_Head in front of objects that the cyclic collector knows. All zero: not tracked.
inline constexpr size_t kGcHeadSize = 2 * sizeof(void*);

// Tuples: items follow at this offset.
inline constexpr size_t kTupleItems = offsetof(PyTupleObject, ob_item);
inline size_t tuple_size(PyObject* tuple) {
    return kTupleItems + static_cast<size_t>(PyTuple_GET_SIZE(tuple)) * sizeof(PyObject*);
}

// From 3.14 on they remember their hash, once it has been asked for.
inline constexpr bool kTuplesHaveHash = kTupleItems != sizeof(PyVarObject);
inline void reset_tuple(void* copy) {
    constexpr Py_hash_t unknown = -1;
    if (kTuplesHaveHash) {
        std::memcpy(static_cast<char*>(copy) + sizeof(PyVarObject), &unknown, sizeof unknown);
    }
}

#ifndef PYCDS_TUPLE_FIELDS
#define PYCDS_TUPLE_FIELDS \
    { PYCDS_FIELD(PyTupleObject, ob_base), PYCDS_FIELD(PyTupleObject, ob_item) }
#endif

// Slices, which are constants from 3.14 on: three slots.
inline constexpr size_t kSliceItems = offsetof(PySliceObject, start);
inline constexpr size_t kSliceItemCount = 3;

// Bytes: one NUL after the contents.
inline constexpr size_t kBytesData = offsetof(PyBytesObject, ob_sval);
inline size_t bytes_size(PyObject* bytes) {
    return kBytesData + static_cast<size_t>(PyBytes_GET_SIZE(bytes)) + 1;
}

// Offset of the field that the i-th reference of a code object stands in: the array comes last.
constexpr size_t code_slot(size_t i) {
    return i < sizeof kCodePointers / sizeof *kCodePointers ? kCodePointers[i] : kCodeArray;
}

static_assert(sizeof(PyASCIIObject) > 32);  // MappedImage counts on it

// Its hash is not known.
inline bool bytes_is_disposable(PyObject* bytes) {
    Py_hash_t hash = 0;
    static_assert(offsetof(PyBytesObject, ob_sval) == sizeof(PyVarObject) + sizeof hash);
    std::memcpy(&hash, reinterpret_cast<const char*>(bytes) + sizeof(PyVarObject), sizeof hash);
    return hash == -1;
}

// Compact strings: one NUL, as wide as a character, after the contents.
inline size_t str_header_size(PyObject* str) {
    return PyUnicode_IS_COMPACT_ASCII(str) ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
}
inline size_t str_size(PyObject* str) {
    return str_header_size(str) +
           (static_cast<size_t>(PyUnicode_GET_LENGTH(str)) + 1) * PyUnicode_KIND(str);
}

// What CPython's own functions for interning expect of a string that they do not know.
inline void unmark_interned(PyObject* str) {
    reinterpret_cast<PyASCIIObject*>(str)->state.interned = 0;
}

// Frozensets: an array of elements, or the table, follows the object in the image (not in CPython).
inline constexpr size_t kFrozensetSize = (sizeof(PySetObject) + 7) / 8 * 8;

// The smallest table is a part of the set, which sys.getsizeof() tells.
inline size_t table_entries(const PySetObject* set) { return static_cast<size_t>(set->mask) + 1; }
inline bool has_small_table(const PySetObject* set) { return table_entries(set) == PySet_MINSIZE; }

static_assert(sizeof(PyObject) == 16 && offsetof(PyObject, ob_type) == 8);
static_assert(covers({PYCDS_FIELD(PyVarObject, ob_base), PYCDS_FIELD(PyVarObject, ob_size)}, 0,
                     sizeof(PyVarObject), alignof(PyVarObject)));
static_assert(covers(PYCDS_TUPLE_FIELDS, 0, sizeof(PyTupleObject), alignof(PyTupleObject)));
static_assert(covers({PYCDS_FIELD(PySliceObject, ob_base), PYCDS_FIELD(PySliceObject, start),
                      PYCDS_FIELD(PySliceObject, stop), PYCDS_FIELD(PySliceObject, step)},
                     0, sizeof(PySliceObject), alignof(PySliceObject)));
static_assert(covers({PYCDS_FIELD(PyFloatObject, ob_base), PYCDS_FIELD(PyFloatObject, ob_fval)}, 0,
                     sizeof(PyFloatObject), alignof(PyFloatObject)));
static_assert(covers({PYCDS_FIELD(PyComplexObject, ob_base), PYCDS_FIELD(PyComplexObject, cval)}, 0,
                     sizeof(PyComplexObject), alignof(PyComplexObject)));
static_assert(covers({PYCDS_FIELD(setentry, key), PYCDS_FIELD(setentry, hash)}, 0, sizeof(setentry),
                     alignof(setentry)));
static_assert(covers({PYCDS_FIELD(PySetObject, ob_base), PYCDS_FIELD(PySetObject, fill),
                      PYCDS_FIELD(PySetObject, used), PYCDS_FIELD(PySetObject, mask),
                      PYCDS_FIELD(PySetObject, table), PYCDS_FIELD(PySetObject, hash),
                      PYCDS_FIELD(PySetObject, finger), PYCDS_FIELD(PySetObject, smalltable),
                      PYCDS_FIELD(PySetObject, weakreflist)},
                     0, sizeof(PySetObject), alignof(PySetObject)));
static_assert(offsetof(PyBytesObject, ob_sval) == 32 && sizeof(PySetObject) == 200);

inline constexpr unsigned long long kLayoutDigest = digest_of(
    {PYCDS_FIELD(PyTupleObject, ob_item), PYCDS_FIELD(PySetObject, table),
     PYCDS_FIELD(PySetObject, smalltable), PYCDS_FIELD(PyFloatObject, ob_fval)},
    kVersionLayoutDigest);

#undef PYCDS_TUPLE_FIELDS

}  // namespace pycds::interp
