// What strings of all versions have in common: Include/cpython/unicodeobject.h of 3.9.18 to 3.14.8.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pycds::interp {

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
