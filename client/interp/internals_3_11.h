/* CPython 3.11's answers for internals.c. Sources: Include/internal/pycore_{runtime,interp,
 * pymem}.h of 3.11.2; Objects/unicodeobject.c (the interned dict is a hidden static). */
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

/* Arguments of _PyDict_GetItemIdWithError(), which asserts that their hash is known
 * (Modules/_asynciomodule.c, Modules/_ctypes/_ctypes.c). */
static const char *const version_hashed_names[] = {
    "__asyncio_running_event_loop__", "_type_",    "_flags_", "_argtypes_",
    "_restype_",                      "_errcheck_", "options", "_fields_",
};

static void *version_allocate_dict_keys(size_t size) { return PyObject_Malloc(size); }

static void version_free_dict_keys(void *keys) { PyObject_Free(keys); }
