/* CPython 3.14's answers for internals.c. Sources: Include/internal/pycore_{runtime_structs,
 * interp_structs,tracemalloc,dict}.h of 3.14.8; Objects/unicodeobject.c and Objects/dictobject.c. */
#pragma once

#include "internal/pycore_interp_structs.h"
#include "internal/pycore_runtime_structs.h"
#include "client/interp/internals_since_3_12.h"

/* Nothing takes a string's hash without computing it where it is not known. */
#define VERSION_HAS_NO_HASHED_NAMES 1

static void *version_allocate_dict_keys(size_t size) { return PyMem_Malloc(size); }

static void version_free_dict_keys(void *keys) { PyMem_Free(keys); }

/* The first releases collected incrementally, with one young generation; 3.14.5 went back to three. */
#ifdef GC_GENERATION_INIT
#define VERSION_YOUNG_COUNT(gc) ((gc)->generations[0].count)
#else
#define VERSION_YOUNG_COUNT(gc) ((gc)->young.count)
#endif

#define VERSION_HASH_BYTES Py_HashBuffer

/* Dicts have no versions any more; who wants to know watches them. One count for all that are watched:
 * the first is 1, 0 means that there is no watcher left to have. */
#define VERSION_WATCHES_DICTS 1
static uint64_t version_dict_changes;

static int version_note_dict_change(PyDict_WatchEvent event, PyObject *dict, PyObject *key,
                                    PyObject *value) {
    (void)event;
    (void)dict;
    (void)key;
    (void)value;
    ++version_dict_changes;
    return 0;
}

static uint64_t version_dict_version(PyObject *dict) {
    static int watcher = -1;
    if (watcher < 0) {
        watcher = PyDict_AddWatcher(version_note_dict_change);
        if (watcher >= 0) version_dict_changes = 1;
    }
    if (watcher < 0 || PyDict_Watch(watcher, dict) != 0) {
        PyErr_Clear();
        return 0;
    }
    return version_dict_changes;
}
