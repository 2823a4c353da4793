/* CPython 3.12's answers for internals.c. Sources: Include/internal/pycore_{runtime,interp,
 * tracemalloc,global_objects}.h of 3.12.1. */
#pragma once

#include "client/interp/internals_since_3_12.h"

/* Arguments of _PyDict_GetItemIdWithError() in Modules/_ctypes/_ctypes.c, which asserts that their hash is
 * known. */
static const char *const version_hashed_names[] = {"_errcheck_", "options"};

/* INTERNED_STRINGS of Objects/unicodeobject.c, where _PyUnicode_InternInPlace() looks first. */
#define VERSION_HAS_STATIC_STRINGS 1
static const void *version_static_strings(void) {
    return _PyRuntime.cached_objects.interned_strings;
}

static int version_is_static_string(PyObject *object) {
    return PyUnicode_CheckExact(object) && ((PyASCIIObject *)object)->state.statically_allocated != 0 &&
           ((PyASCIIObject *)object)->state.interned == SSTATE_INTERNED_IMMORTAL_STATIC;
}

static void *version_allocate_dict_keys(size_t size) { return PyObject_Malloc(size); }

static void version_free_dict_keys(void *keys) { PyObject_Free(keys); }
