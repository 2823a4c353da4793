// What CPython has had in common since 3.11, when code objects took their bytecode in, all kinds of variables in
// one tuple, and a qualified name. Included by the versions' headers. Sources: Include/cpython/code.h of 3.11.2,
// 3.12.1, 3.13.5 and 3.14.8.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstring>

#include "client/interp/coverage.h"
#include "client/interp/str_header.h"
#include "client/interp/validated_layout.h"

namespace pycds::interp {

inline constexpr size_t kCodePointers[] = {
    offsetof(PyCodeObject, co_consts),          offsetof(PyCodeObject, co_names),
    offsetof(PyCodeObject, co_exceptiontable),  offsetof(PyCodeObject, co_localsplusnames),
    offsetof(PyCodeObject, co_localspluskinds), offsetof(PyCodeObject, co_filename),
    offsetof(PyCodeObject, co_name),            offsetof(PyCodeObject, co_qualname),
    offsetof(PyCodeObject, co_linetable),
};

// _Py_CODEUNIT (Include/internal/pycore_code.h or, before 3.13, Include/cpython/code.h): opcode and argument, a
// byte each.
inline constexpr size_t kCodeUnitSize = 2;

inline size_t code_size(const PyCodeObject* code) {
    return offsetof(PyCodeObject, co_code_adaptive) +
           static_cast<size_t>(Py_SIZE(code)) * kCodeUnitSize;
}

// Padding of a copy of a code object holds what malloc left there: not the same twice, and nobody's
// business.
inline void clear_padding(PyCodeObject* copy) {
    constexpr size_t padding =
        offsetof(PyCodeObject, _co_firsttraceable) + sizeof(copy->_co_firsttraceable);
    std::memset(reinterpret_cast<char*>(copy) + padding, 0,
                offsetof(PyCodeObject, co_extra) - padding);
}

inline bool is_version_compiled_for() { return Py_Version == PY_VERSION_HEX; }

inline constexpr bool kHasHeapSingletons = false;
inline constexpr bool kEmptyFrozensetIsSingleton = false;
inline constexpr bool kSiteIsFrozen = true;

inline constexpr size_t kCodeHeaderSize = offsetof(PyCodeObject, co_code_adaptive);

inline constexpr size_t kCodeArray = kNoField;
inline bool has_code_array(const PyCodeObject*) { return false; }
inline size_t code_array_size(const PyCodeObject*) { return 0; }

inline PyObject* qualname_of(const PyCodeObject* code) { return code->co_qualname; }
inline constexpr size_t kCodeQualname = offsetof(PyCodeObject, co_qualname);
inline constexpr size_t kCodeVariables = offsetof(PyCodeObject, co_localsplusnames);
constexpr bool are_cells(size_t) { return false; }
inline constexpr size_t kCodeHashedTable = offsetof(PyCodeObject, co_linetable);
inline constexpr size_t kCodeNames[] = {offsetof(PyCodeObject, co_names),
                                        offsetof(PyCodeObject, co_localsplusnames)};

inline void drop_caches(PyCodeObject*) {}

// A code object with room for what `like` has. Its fields are not set. nullptr with an exception: no memory.
inline PyCodeObject* new_code(const PyCodeObject* like) {
    return PyObject_NewVar(PyCodeObject, &PyCode_Type, Py_SIZE(like));
}

// Python/marshal.c r_object(), TYPE_CODE.
inline constexpr unsigned kMarshalCounts = 5;
inline constexpr unsigned kMarshalObjects = 8;
inline constexpr unsigned kMarshalTables = 2;

// Lib/re/
inline constexpr char kPatternCompiler[] = "re._compiler";
inline constexpr char kPatternCompilerFile[] = "/re/_compiler.py";
inline constexpr char kPatternParser[] = "re._parser";
inline constexpr char kPatternParserFile[] = "/re/_parser.py";

static_assert(kValidated.code_locals == offsetof(PyCodeObject, co_nlocalsplus));
static_assert(kValidated.code_stacksize == offsetof(PyCodeObject, co_stacksize));
static_assert(kValidated.code_traceable == offsetof(PyCodeObject, _co_firsttraceable));
static_assert(kValidated.code_size == offsetof(PyCodeObject, co_code_adaptive));
static_assert(offsetof(PyCodeObject, co_weakreflist) == image::kCodePointersEnd);

}  // namespace pycds::interp
