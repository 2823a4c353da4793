/* What 3.9, 3.10 and 3.11 answer alike. Sources: Include/internal/pycore_{runtime,interp,pymem}.h of
 * 3.9.18, 3.10.13 and 3.11.2; Objects/unicodeobject.c (the interned dict is a hidden static). */
#pragma once

#include "internal/pycore_pymem.h"

static int version_import_is_watched(PyInterpreterState *interp) {
    (void)interp;
    return _PyRuntime.audit_hook_head != NULL || _Py_tracemalloc_config.tracing != 0;
}

static PyObject *version_interned_dict(PyInterpreterState *interp) {
    (void)interp;
    return NULL;
}

static void *version_allocate_dict_keys(size_t size) { return PyObject_Malloc(size); }

static void version_free_dict_keys(void *keys) { PyObject_Free(keys); }

/* Names, less their underscores, of slotdefs[] of Objects/typeobject.c, sorted: update_slot() compares
 * what is set in a class with the interpreter's own strings by address. These are interned when it
 * starts, and are no members of _PyRuntime as they are later. An array without pointers, which every
 * process would have to relocate. */
#define VERSION_HAS_SLOT_STRINGS 1
static const char version_slot_names[][sizeof "getattribute"] = {
    "abs", "add", "aiter", "and", "anext", "await", "bool", "call", "contains", "del",
    "delattr", "delete", "delitem", "divmod", "eq", "float", "floordiv", "ge", "get", "getattr",
    "getattribute", "getitem", "gt", "hash", "iadd", "iand", "ifloordiv", "ilshift", "imatmul",
    "imod", "imul", "index", "init", "int", "invert", "ior", "ipow", "irshift", "isub", "iter",
    "itruediv", "ixor", "le", "len", "lshift", "lt", "matmul", "mod", "mul", "ne", "neg", "new",
    "next", "or", "pos", "pow", "radd", "rand", "rdivmod", "repr", "rfloordiv", "rlshift",
    "rmatmul", "rmod", "rmul", "ror", "rpow", "rrshift", "rshift", "rsub", "rtruediv", "rxor",
    "set", "setattr", "setitem", "str", "sub", "truediv", "xor",
};
