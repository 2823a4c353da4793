// What the client knows of the interpreter it is compiled for: the one place that chooses a
// version's header. Each header provides, in namespace pycds::interp:
//
//   kImageRefcount         reference count of every image object, so that it never reaches zero
//   kRefcountsAreWritten   there are no immortal objects: using an object writes to it
//   code_is_disposable(c), str_is_disposable(s, had_hash)
//                          may it become again what it was when the image was made?
//   kNoneHasFixedHash      the hash of None is the same in every process
//   kHasCoVersion          co_version exists and must be unique in the process (3.12+)
//   kCodePointers[]        offsets of the PyObject* fields of a code object, none of them null
//   kCodeArray, has_code_array(code), code_array_size(code)
//                          offset of a field that points to an array which is no object, or is null;
//                          whether it is not null; bytes of the array
//   kCodeNames[]           offsets of the tuples of names
//   kCodeVariables         offset of the tuple that begins with the names of parameters
//   are_cells(offset)      is it a tuple of names of cells and free variables?
//   kCodeQualname, qualname_of(code)
//                          offset of the qualified name, and that, or nullptr
//   kCodeHashedTable       offset of a bytes object that is hashed when the code object is, and else never
//   kCodeHeaderSize, kCodeUnitSize
//                          bytes before the bytecode inside a code object, and of a unit of that
//   new_code(like)         room for a copy of a code object, on the heap
//   code_size(code)        bytes of a code object, inline bytecode included
//   int_size(value)        bytes of an int object, digits included
//   kRunCounter            field that running writes, besides the bytecode; or of size 0
//   drop_caches(code)      gives back what nobody else refers to, so that more is disposable
//   reset_code(copy, v)    clears what a process may have written, sets co_version
//   reset_str(copy, i)     clears hash and caches; marks it as interned or not
//   make_immortal(str)     a heap string of the process shall never be freed
//   PYCDS_TUPLE_FIELDS     fields of a tuple, if they are more than its items
//   kHasHeapSingletons     small ints and the like are on the heap of each process, not in _PyRuntime;
//   kEmptyFrozensetIsSingleton
//                          then: is there one empty frozenset?
//   kSiteIsFrozen          site.py is part of the interpreter
//   kMarshalCounts, kMarshalObjects, kMarshalTables
//                          of a marshalled code object: 32-bit numbers before its objects, objects before its
//                          first line number and after it
//   kPatternCompiler, kPatternParser, and the same with File
//                          re's modules and how the paths of their sources end
//   is_version_compiled_for()
//                          does the process run X.Y.Z? To be asked before anything that reads its structs
//   kVersionLayoutDigest   digest of the field lists
//
// plus static assertions that the lists cover the structs, and what is missing of the API that we use.
// Nothing else says PY_VERSION_HEX.
#pragma once

#include <Python.h>

#if PY_VERSION_HEX >= 0x03090000 && PY_VERSION_HEX < 0x030a0000
#include "client/interp/cpython_3_9.h"
#elif PY_VERSION_HEX >= 0x030a0000 && PY_VERSION_HEX < 0x030b0000
#include "client/interp/cpython_3_10.h"
#elif PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
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
