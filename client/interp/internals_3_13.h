/* CPython 3.13's answers for internals.c. Sources: Include/internal/pycore_{runtime,interp,
 * tracemalloc,global_objects}.h of 3.13.5. */
#pragma once

static int version_import_is_watched(PyInterpreterState *interp) {
    for (int tool = 0; tool < PY_MONITORING_TOOL_IDS; ++tool) {
        if (interp->monitoring_tool_names[tool] != NULL) return 1;
    }
    return _PyRuntime.audit_hooks.head != NULL || _PyRuntime.tracemalloc.config.tracing != 0 ||
           interp->active_code_watchers != 0;
}

static PyObject *version_interned_dict(PyInterpreterState *interp) {
    return interp->cached_objects.interned_strings;
}

/* The argument of _PyDict_GetItemIdWithError() in Modules/_ctypes/_ctypes.c, which asserts that its hash
 * is known. */
static const char *const version_hashed_names[] = {"options"};

static void *version_allocate_dict_keys(size_t size) { return PyMem_Malloc(size); }

static void version_free_dict_keys(void *keys) { PyMem_Free(keys); }
