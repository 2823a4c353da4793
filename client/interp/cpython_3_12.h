// CPython 3.12: object layouts and what of them is written at run time.
// Sources: Include/cpython/{code,setobject}.h of 3.12.1;
// Objects/codeobject.c init_code() for the fields that are not copied.
#pragma once

#include <cstdint>
#include <cstring>

#include "client/interp/coverage.h"
#include "client/interp/validated_layout.h"

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
            PYCDS_FIELD(PyCodeObject, co_weakreflist), PYCDS_FIELD(PyCodeObject, _co_cached),    \
            PYCDS_FIELD(PyCodeObject, _co_instrumentation_version),                              \
            PYCDS_FIELD(PyCodeObject, _co_monitoring),                                           \
            PYCDS_FIELD(PyCodeObject, _co_firsttraceable), PYCDS_FIELD(PyCodeObject, co_extra),  \
            PYCDS_FIELD(PyCodeObject, co_code_adaptive)                                          \
    }
static_assert(covers(PYCDS_CODE_FIELDS, 0, sizeof(PyCodeObject), alignof(PyCodeObject)));

// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(offsetof(PyCodeObject, co_code_adaptive) == 192);

inline constexpr unsigned long long kVersionLayoutDigest =
    digest_of(PYCDS_CODE_FIELDS, kCommonLayoutDigest);

#undef PYCDS_CODE_FIELDS

inline void reset_code(PyCodeObject* copy, uint32_t co_version) {
    copy->co_version = co_version;
    copy->co_weakreflist = nullptr;
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
           code->_co_cached == nullptr && code->_co_monitoring == nullptr;
}

}  // namespace pycds::interp
