// Which interpreter this is (image::InterpreterIdentity), found out without running Python code.
// Freestanding: part of the client.
#pragma once

#include <Python.h>

#include <cstdint>

#include "src/common/image/format.h"

namespace pycds::interp {

// Why a process cannot be served, as a short stable name for stats() and the log; nullptr: it can.
using Refusal = const char*;

// Fills `identity` (all bytes) and the load address of the ELF object that holds the interpreter
// (0 for a position-dependent executable). Call with the GIL held. Costs a walk over the loaded
// ELF objects, some microseconds.
Refusal identify_interpreter(image::InterpreterIdentity* identity, uint64_t* runtime_base);

// The dict (a borrowed PyObject) that a variable of the interpreter points to, or nullptr if there
// is no variable or it points to no dict. Images say where the variable is; nobody can validate
// that without the interpreter. After identify_interpreter().
void* dict_of_variable(const void* variable);

// Do `size` bytes from an address on lie between the interpreter's first writable segment and the end of its
// last? Words at multiples of their size. After identify_interpreter().
bool in_interpreter_data(uint64_t address, uint64_t size);

// Address of a type or singleton that an image may refer to.
const void* type_address(image::TypeIndex index);
const void* singleton_address(image::SingletonIndex index);

// The object of this process (borrowed; kept for its life) that a number of image::HeapSingleton stands for;
// nullptr if this version has no such singletons, or for want of memory. Call with the GIL held.
PyObject* heap_singleton(uint64_t number);

// image::InterpreterIdentity::hash_probe of this process, whatever its seed is; 0 for want of memory. Call
// with the GIL held.
uint64_t hash_probe();

// Is `object` one of them, and which?
bool find_heap_singleton(PyObject* object, uint64_t* number);

}  // namespace pycds::interp
