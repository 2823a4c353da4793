// What 3.9 and 3.10 have in common, which is all but the name of one field: code objects of one size
// with bytecode in an object of its own, and singletons on the heap. The version's header says how
// the field is called: PYCDS_LINE_TABLE.
// Sources: Include/cpython/code.h and Objects/codeobject.c of 3.9.18 and 3.10.13 (PyCode_
// NewWithPosOnlyArgs() for the fields that are not copied, code_dealloc() for who owns what).
#pragma once

#include <Python.h>
#include <frameobject.h>
#include <longintrepr.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "client/interp/before_3_12.h"
#include "client/interp/coverage.h"

namespace pycds::interp {

#define PYCDS_CODE_FIELDS                                                                          \
    {                                                                                              \
        PYCDS_FIELD(PyCodeObject, ob_base), PYCDS_FIELD(PyCodeObject, co_argcount),                \
            PYCDS_FIELD(PyCodeObject, co_posonlyargcount),                                         \
            PYCDS_FIELD(PyCodeObject, co_kwonlyargcount), PYCDS_FIELD(PyCodeObject, co_nlocals),   \
            PYCDS_FIELD(PyCodeObject, co_stacksize), PYCDS_FIELD(PyCodeObject, co_flags),          \
            PYCDS_FIELD(PyCodeObject, co_firstlineno), PYCDS_FIELD(PyCodeObject, co_code),         \
            PYCDS_FIELD(PyCodeObject, co_consts), PYCDS_FIELD(PyCodeObject, co_names),             \
            PYCDS_FIELD(PyCodeObject, co_varnames), PYCDS_FIELD(PyCodeObject, co_freevars),        \
            PYCDS_FIELD(PyCodeObject, co_cellvars), PYCDS_FIELD(PyCodeObject, co_cell2arg),        \
            PYCDS_FIELD(PyCodeObject, co_filename), PYCDS_FIELD(PyCodeObject, co_name),            \
            PYCDS_FIELD(PyCodeObject, PYCDS_LINE_TABLE),                                           \
            PYCDS_FIELD(PyCodeObject, co_zombieframe), PYCDS_FIELD(PyCodeObject, co_weakreflist),  \
            PYCDS_FIELD(PyCodeObject, co_extra), PYCDS_FIELD(PyCodeObject, co_opcache_map),        \
            PYCDS_FIELD(PyCodeObject, co_opcache), PYCDS_FIELD(PyCodeObject, co_opcache_flag),     \
            PYCDS_FIELD(PyCodeObject, co_opcache_size)                                             \
    }

static_assert(covers(PYCDS_CODE_FIELDS, 0, sizeof(PyCodeObject), alignof(PyCodeObject)));
// A field that changes its size without leaving a gap shows here (64-bit).
static_assert(offsetof(PyCodeObject, co_firstlineno) == 40);
static_assert(sizeof(PyCodeObject) == kValidated.code_size);
static_assert(kValidated.code_locals == offsetof(PyCodeObject, co_nlocals));
static_assert(kValidated.code_stacksize == offsetof(PyCodeObject, co_stacksize));
static_assert(kValidated.code_array == offsetof(PyCodeObject, co_cell2arg));
static_assert(offsetof(PyCodeObject, co_zombieframe) == image::kOlderCodePointersEnd);

inline constexpr unsigned long long kVersionLayoutDigest =
    digest_of(PYCDS_CODE_FIELDS, kMortalLayoutDigest);

#undef PYCDS_CODE_FIELDS

// There is no Py_Version yet. "3.9.18 (main, ..."
inline bool is_version_compiled_for() {
    constexpr char kExpected[] = PY_VERSION " ";
    return std::strncmp(Py_GetVersion(), kExpected, sizeof kExpected - 1) == 0;
}

// Small ints, characters, single bytes and what is empty are made when the interpreter starts or when
// they are first needed.
inline constexpr bool kHasHeapSingletons = true;
// Lib/site.py runs like any module.
inline constexpr bool kSiteIsFrozen = false;

inline constexpr size_t kCodePointers[] = {
    offsetof(PyCodeObject, co_code),     offsetof(PyCodeObject, co_consts),
    offsetof(PyCodeObject, co_names),    offsetof(PyCodeObject, co_varnames),
    offsetof(PyCodeObject, co_freevars), offsetof(PyCodeObject, co_cellvars),
    offsetof(PyCodeObject, co_filename), offsetof(PyCodeObject, co_name),
    offsetof(PyCodeObject, PYCDS_LINE_TABLE),
};

inline constexpr size_t kCodeHeaderSize = sizeof(PyCodeObject);
inline constexpr size_t kCodeUnitSize = 0;
inline size_t code_size(const PyCodeObject*) { return sizeof(PyCodeObject); }

// For each cell the number of the argument that it holds, or CO_CELL_NOT_AN_ARG.
inline constexpr size_t kCodeArray = offsetof(PyCodeObject, co_cell2arg);
inline bool has_code_array(const PyCodeObject* code) { return code->co_cell2arg != nullptr; }
inline size_t code_array_size(const PyCodeObject* code) {
    if (!has_code_array(code)) return 0;
    return static_cast<size_t>(PyTuple_GET_SIZE(code->co_cellvars)) * sizeof *code->co_cell2arg;
}

inline PyObject* qualname_of(const PyCodeObject*) { return nullptr; }
inline constexpr size_t kCodeQualname = kNoField;
inline constexpr size_t kCodeVariables = offsetof(PyCodeObject, co_varnames);
constexpr bool are_cells(size_t offset) {
    return offset == offsetof(PyCodeObject, co_freevars) ||
           offset == offsetof(PyCodeObject, co_cellvars);
}
inline constexpr size_t kCodeHashedTable = offsetof(PyCodeObject, co_code);
inline constexpr size_t kCodeNames[] = {
    offsetof(PyCodeObject, co_names), offsetof(PyCodeObject, co_varnames),
    offsetof(PyCodeObject, co_freevars), offsetof(PyCodeObject, co_cellvars)};

// A code object like `like`. Its fields are not set. nullptr with an exception: no memory.
inline PyCodeObject* new_code(const PyCodeObject* /*like*/) {
    return PyObject_New(PyCodeObject, &PyCode_Type);
}

// Counts calls until they are enough for caches.
inline constexpr Field kRunCounter = PYCDS_FIELD(PyCodeObject, co_opcache_flag);

inline void reset_code(PyCodeObject* copy, uint32_t /*co_version*/) {
    copy->co_zombieframe = nullptr;
    copy->co_weakreflist = nullptr;
    copy->co_extra = nullptr;
    copy->co_opcache_map = nullptr;
    copy->co_opcache = nullptr;
    copy->co_opcache_flag = 0;
    copy->co_opcache_size = 0;
    // Padding holds what malloc left there: not the same twice, and nobody's business.
    constexpr size_t after_counts =
        offsetof(PyCodeObject, co_firstlineno) + sizeof copy->co_firstlineno;
    constexpr size_t after_all =
        offsetof(PyCodeObject, co_opcache_size) + sizeof copy->co_opcache_size;
    auto* bytes = reinterpret_cast<char*>(copy);
    std::memset(bytes + after_counts, 0, offsetof(PyCodeObject, co_code) - after_counts);
    std::memset(bytes + after_all, 0, sizeof *copy - after_all);
}

// The frame that is kept for the next call. While one runs there is none.
inline void drop_caches(PyCodeObject* code) {
    if (code->co_zombieframe == nullptr) return;
    PyObject_GC_Del(code->co_zombieframe);
    code->co_zombieframe = nullptr;
}

// Nothing of others hangs on it, so that it may become again what it was when it was made.
inline bool code_is_disposable(const PyCodeObject* code) {
    return code->co_weakreflist == nullptr && code->co_extra == nullptr &&
           code->co_zombieframe == nullptr && code->co_opcache_map == nullptr &&
           code->co_opcache == nullptr;
}

// Python/marshal.c r_object(), TYPE_CODE.
inline constexpr unsigned kMarshalCounts = 6;
inline constexpr unsigned kMarshalObjects = 8;
inline constexpr unsigned kMarshalTables = 1;

inline constexpr char kPatternCompiler[] = "sre_compile";
inline constexpr char kPatternCompilerFile[] = "/sre_compile.py";
inline constexpr char kPatternParser[] = "sre_parse";
inline constexpr char kPatternParserFile[] = "/sre_parse.py";

}  // namespace pycds::interp
