// CPython 3.11: object layouts and what of them is written at run time.
// Sources: Include/cpython/{code,unicodeobject,setobject,longintrepr}.h of 3.11.2;
// Objects/codeobject.c init_code() for the fields that are not copied.
#pragma once

#include <cstdint>
#include <cstring>

#include "client/interp/before_3_12.h"
#include "client/interp/coverage.h"
#include "client/interp/since_3_11.h"

namespace pycds::interp {

static_assert(kImageRefcount == kValidated.refcount);

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

static_assert(covers(PYCDS_CODE_FIELDS, 0, sizeof(PyCodeObject), alignof(PyCodeObject)));

// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(offsetof(PyCodeObject, co_code_adaptive) == 184);

inline constexpr unsigned long long kVersionLayoutDigest =
    digest_of(PYCDS_CODE_FIELDS, kMortalLayoutDigest);

#undef PYCDS_CODE_FIELDS

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

}  // namespace pycds::interp
