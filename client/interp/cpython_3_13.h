// CPython 3.13: object layouts and what of them is written at run time.
// Sources: Include/cpython/{code,setobject}.h of 3.13.5;
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
inline constexpr uint64_t kImmortalRefcount = kImageRefcount;
inline constexpr bool kImageStringsAreStatic = false;

}  // namespace pycds::interp

#include "client/interp/since_3_12.h"

namespace pycds::interp {

#define PYCDS_CODE_FIELDS                        \
    {                                            \
        PYCDS_CODE_FIELDS_TO_WEAKREFS,           \
        PYCDS_FIELD(PyCodeObject, co_executors), \
        PYCDS_CODE_FIELDS_CACHED_TO_MONITORING,  \
        PYCDS_CODE_FIELDS_FROM_TRACEABLE         \
    }
static_assert(covers(PYCDS_CODE_FIELDS, 0, sizeof(PyCodeObject), alignof(PyCodeObject)));

// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(offsetof(PyCodeObject, co_code_adaptive) == 200);

inline constexpr unsigned long long kVersionLayoutDigest =
    digest_of(PYCDS_CODE_FIELDS, kCommonLayoutDigest);

#undef PYCDS_CODE_FIELDS
#undef PYCDS_CODE_FIELDS_TO_WEAKREFS
#undef PYCDS_CODE_FIELDS_CACHED_TO_MONITORING
#undef PYCDS_CODE_FIELDS_FROM_TRACEABLE

inline void reset_code(PyCodeObject* copy, uint32_t co_version) {
    reset_shared_code_fields(copy, co_version);
    copy->co_executors = nullptr;
}

inline bool code_is_disposable(const PyCodeObject* code) {
    return shared_code_fields_are_disposable(code) && code->co_executors == nullptr;
}

}  // namespace pycds::interp
