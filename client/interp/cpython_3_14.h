// CPython 3.14: object layouts and what of them is written at run time.
// Sources: Include/cpython/{code,setobject,tupleobject}.h and Include/refcount.h of 3.14.8;
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

// _Py_STATIC_IMMORTAL_INITIAL_REFCNT, which neither Py_INCREF nor Py_DECREF writes. The evaluation loop
// looks at the flag alone and would decrement an object without it (pycore_stackref.h).
inline constexpr uint64_t kImageRefcount = static_cast<uint64_t>(_Py_STATIC_IMMORTAL_INITIAL_REFCNT);
static_assert(kImageRefcount == kValidated.refcount);
// What _Py_SetImmortal() makes of a heap object (Objects/object.c).
inline constexpr uint64_t kImmortalRefcount =
    _Py_IMMORTAL_INITIAL_REFCNT | uint64_t{_Py_IMMORTAL_FLAGS} << 48;

// At its end the interpreter makes every string that it has interned mortal, also one that is not
// marked and was interned by the program, and frees it unless it is statically allocated
// (_PyUnicode_ClearInterned(), unicode_dealloc()).
inline constexpr bool kImageStringsAreStatic = true;

}  // namespace pycds::interp

#include "client/interp/since_3_12.h"

namespace pycds::interp {

#define PYCDS_CODE_FIELDS                         \
    {                                             \
        PYCDS_CODE_FIELDS_TO_WEAKREFS,            \
        PYCDS_FIELD(PyCodeObject, co_executors),  \
        PYCDS_CODE_FIELDS_CACHED_TO_MONITORING,   \
        PYCDS_FIELD(PyCodeObject, _co_unique_id), \
        PYCDS_CODE_FIELDS_FROM_TRACEABLE          \
    }
#define PYCDS_TUPLE_FIELDS                                                        \
    {                                                                             \
        PYCDS_FIELD(PyTupleObject, ob_base), PYCDS_FIELD(PyTupleObject, ob_hash), \
            PYCDS_FIELD(PyTupleObject, ob_item)                                   \
    }
static_assert(covers(PYCDS_CODE_FIELDS, 0, sizeof(PyCodeObject), alignof(PyCodeObject)));

// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(offsetof(PyCodeObject, co_code_adaptive) == 208);

inline constexpr unsigned long long kVersionLayoutDigest =
    digest_of(PYCDS_CODE_FIELDS, kCommonLayoutDigest);

#undef PYCDS_CODE_FIELDS
#undef PYCDS_CODE_FIELDS_TO_WEAKREFS
#undef PYCDS_CODE_FIELDS_CACHED_TO_MONITORING
#undef PYCDS_CODE_FIELDS_FROM_TRACEABLE

inline void reset_code(PyCodeObject* copy, uint32_t co_version) {
    reset_shared_code_fields(copy, co_version);
    copy->co_executors = nullptr;
    copy->_co_unique_id = 0;  // only free-threaded builds set it
}

inline bool code_is_disposable(const PyCodeObject* code) {
    return shared_code_fields_are_disposable(code) && code->co_executors == nullptr;
}

}  // namespace pycds::interp
