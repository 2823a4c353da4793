// Where an interpreter keeps its dict of interned strings, if its headers do not say.
#pragma once

namespace pycds::builder {

// Address of the variable that points to the dict of interned strings, or nullptr. In 3.9 to 3.11
// that is `interned`, a static of Objects/unicodeobject.c without a symbol in a stripped binary. It
// is found by what it does: among the pointers to dicts in the interpreter's writable data, the one
// to a dict that holds a string interned a moment ago. The place is the same wherever the same
// binary is loaded at the same address, which the interpreter identity guarantees.
const void* find_interned_dict_variable();

}  // namespace pycds::builder
