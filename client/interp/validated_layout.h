// What the validator knows of object layouts (src/common/image/object_layout.h), compared with the
// headers of the version at hand. For a version that is in the validator's table; cpython_3_NN.h
// includes it.
#pragma once

#include "src/common/image/object_layout.h"

namespace pycds::interp {

inline constexpr const image::ObjectLayout& kValidated = *image::object_layout(PY_VERSION_HEX);
static_assert(kValidated.tuple_items == offsetof(PyTupleObject, ob_item));
static_assert(kValidated.ascii_data == sizeof(PyASCIIObject));
static_assert(kValidated.compact_data == sizeof(PyCompactUnicodeObject));
static_assert(offsetof(PyBytesObject, ob_sval) == image::kBytesData);
static_assert(offsetof(PyASCIIObject, length) == image::kObjectSize);
static_assert(offsetof(PyASCIIObject, hash) == image::kStrHash);
static_assert(offsetof(PyASCIIObject, state) == image::kStrState);
static_assert(sizeof(PySetObject) == image::kSetSize);
static_assert(offsetof(PySetObject, weakreflist) == image::kSetWeakrefs);
static_assert(offsetof(PySetObject, fill) == image::kSetFill && offsetof(PySetObject, used) == image::kSetFill + 8 &&
              offsetof(PySetObject, mask) == image::kSetFill + 16);
static_assert(offsetof(PySetObject, table) == image::kSetTable && offsetof(PySetObject, hash) == image::kSetTable + 8 &&
              offsetof(PySetObject, finger) == image::kSetTable + 16);
static_assert(offsetof(PySetObject, smalltable) == image::kSetSmallTable && sizeof(setentry) == 16 &&
              PySet_MINSIZE == image::kSetSmallTableSize);

}  // namespace pycds::interp
