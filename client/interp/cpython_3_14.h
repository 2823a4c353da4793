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
            PYCDS_FIELD(PyCodeObject, _co_monitoring), PYCDS_FIELD(PyCodeObject, _co_unique_id), \
            PYCDS_FIELD(PyCodeObject, _co_firsttraceable), PYCDS_FIELD(PyCodeObject, co_extra),  \
            PYCDS_FIELD(PyCodeObject, co_code_adaptive)                                          \
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

inline void reset_code(PyCodeObject* copy, uint32_t co_version) {
    copy->co_version = co_version;
    copy->co_weakreflist = nullptr;
    copy->co_executors = nullptr;
    copy->_co_cached = nullptr;
    copy->_co_instrumentation_version = 0;
    copy->_co_monitoring = nullptr;
    copy->_co_unique_id = 0;  // only free-threaded builds set it
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

}  // namespace pycds::interp
