/* CPython 3.13's answers for internals.c. Sources: Include/internal/pycore_{runtime,interp,
 * tracemalloc,global_objects}.h of 3.13.5. */
#pragma once

#include "client/interp/internals_since_3_12.h"

/* The argument of _PyDict_GetItemIdWithError() in Modules/_ctypes/_ctypes.c, which asserts that its hash
 * is known. */
static const char *const version_hashed_names[] = {"options"};

static void *version_allocate_dict_keys(size_t size) { return PyMem_Malloc(size); }

static void version_free_dict_keys(void *keys) { PyMem_Free(keys); }
