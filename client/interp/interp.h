// What the client knows of the interpreter it is compiled for: the one place that chooses a
// version's header. Each header provides, in namespace pycds::interp:
//
//   kImageRefcount         reference count of every image object, so that it never reaches zero
//   kRefcountsAreWritten   there are no immortal objects: using an object writes to it
//   code_is_disposable(c), str_is_disposable(s)
//                          may it become again what it was when the image was made?
//   kHasCoVersion          co_version exists and must be unique in the process (3.12+)
//   kCodePointers[]        offsets of the PyObject* fields of a code object, none of them null
//   code_size(code)        bytes of a code object, inline bytecode included
//   int_size(value)        bytes of an int object, digits included
//   kRunCounter            field that running writes, besides the bytecode; or of size 0
//   reset_code(copy, v)    clears what a process may have written, sets co_version
//   reset_str(copy, i)     clears hash and caches; marks it as interned or not
//   make_immortal(str)     a heap string of the process shall never be freed
//   PYCDS_TUPLE_FIELDS     fields of a tuple, if they are more than its items
//   kVersionLayoutDigest   digest of the field lists
//
// plus static assertions that the lists cover the structs. Nothing else says PY_VERSION_HEX.
#pragma once

#include <Python.h>

#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
#include "client/interp/cpython_3_11.h"
#elif PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030d0000
#include "client/interp/cpython_3_12.h"
#elif PY_VERSION_HEX >= 0x030d0000 && PY_VERSION_HEX < 0x030e0000
#include "client/interp/cpython_3_13.h"
#elif PY_VERSION_HEX >= 0x030e0000 && PY_VERSION_HEX < 0x030f0000
#include "client/interp/cpython_3_14.h"
#else
#error "no client/interp/cpython_3_NN.h describes this CPython version"
#endif
