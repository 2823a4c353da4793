// What CPython has had in common since 3.11, when code objects took their bytecode in. Included by the versions'
// headers. Sources: Include/cpython/{code,unicodeobject}.h of 3.11.2, 3.12.1, 3.13.5 and 3.14.8.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

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

// What reset_str() does in all versions, `copy` being a copy of a compact string.
//
// An interned string keeps its mark (SSTATE_INTERNED_IMMORTAL), which becomes true when a client makes it
// the canonical one; where none does, nobody gets to see it (docs/interning.md).
inline PyASCIIObject* reset_str_header(void* copy, bool interned) {
    auto* ascii = static_cast<PyASCIIObject*>(copy);
    // The named bits of `state` are its first eight; the rest, and the padding behind it, hold what
    // malloc left there.
    char* state = static_cast<char*>(copy) + offsetof(PyASCIIObject, state);
    std::memset(state + 1, 0, sizeof(uint64_t) - 1);
    ascii->hash = -1;
    ascii->state.interned = interned ? 2 : 0;
    return ascii;
}

}  // namespace pycds::interp
