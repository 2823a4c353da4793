/* See internals.h. One file for all versions, because the questions are the same; what differs is
 * told by client/interp/internals_3_NN.h. */
#define Py_BUILD_CORE 1
#include "client/interp/internals.h"

#include <string.h>

#include "internal/pycore_interp.h"
#include "internal/pycore_pyhash.h"
#include "internal/pycore_runtime.h"

#if PY_VERSION_HEX >= 0x03090000 && PY_VERSION_HEX < 0x030a0000
#include "client/interp/internals_3_9.h"
#elif PY_VERSION_HEX >= 0x030a0000 && PY_VERSION_HEX < 0x030b0000
#include "client/interp/internals_3_10.h"
#elif PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
#include "client/interp/internals_3_11.h"
#elif PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030d0000
#include "client/interp/internals_3_12.h"
#elif PY_VERSION_HEX >= 0x030d0000 && PY_VERSION_HEX < 0x030e0000
#include "client/interp/internals_3_13.h"
#elif PY_VERSION_HEX >= 0x030e0000 && PY_VERSION_HEX < 0x030f0000
#include "client/interp/internals_3_14.h"
#else
#error "no client/interp/internals_3_NN.h describes this CPython version"
#endif

#ifndef VERSION_YOUNG_COUNT
/* Allocations less deallocations since the last collection, of `struct _gc_runtime_state*`. */
#define VERSION_YOUNG_COUNT(gc) ((gc)->generations[0].count)
#endif
#ifndef VERSION_HASH_BYTES
#define VERSION_HASH_BYTES _Py_HashBytes
#endif

int pycds_import_is_watched(void) {
    PyThreadState* thread = PyThreadState_Get();
    if (thread->c_tracefunc != NULL || thread->c_profilefunc != NULL) return 1;
    if (_PyRuntime.open_code_hook != NULL) return 1;
    if (thread->interp->audit_hooks != NULL) return 1;
    return version_import_is_watched(thread->interp);
}

int pycds_debug_ranges(void) {
#ifdef VERSION_HAS_NO_DEBUG_RANGES
    return 1;
#else
    return PyThreadState_Get()->interp->config.code_debug_ranges != 0;
#endif
}

int pycds_optimization_level(void) {
    return PyThreadState_Get()->interp->config.optimization_level;
}

int pycds_uses_environment(void) {
    return PyThreadState_Get()->interp->config.use_environment != 0;
}

int pycds_is_verbose(void) {
    return PyThreadState_Get()->interp->config.verbose != 0;
}

const void* pycds_runtime_address(void) {
    return &_PyRuntime;
}

size_t pycds_runtime_size(void) {
    return sizeof _PyRuntime;
}

PyObject* pycds_interned_dict(void) {
    return version_interned_dict(PyThreadState_Get()->interp);
}

void pycds_intern_hashed_names(void) {
#ifndef VERSION_HAS_NO_HASHED_NAMES
    for (size_t i = 0; i < sizeof version_hashed_names / sizeof *version_hashed_names; ++i) {
        /* Of a string of an image that is the canonical one it has not been computed yet. The reference is
         * for the life of the process. */
        PyObject* name = PyUnicode_InternFromString(version_hashed_names[i]);
        if (name == NULL || PyObject_Hash(name) == -1) PyErr_Clear();
    }
#endif
}

int pycds_is_compared_name(PyObject* string) {
#ifdef VERSION_HAS_COMPARED_NAMES
    for (size_t i = 0; i < sizeof version_compared_names / sizeof *version_compared_names; ++i) {
        if (PyUnicode_CompareWithASCIIString(string, version_compared_names[i]) == 0) return 1;
    }
#endif
#ifdef VERSION_HAS_SLOT_STRINGS
    const Py_ssize_t length = PyUnicode_GET_LENGTH(string) - 4;
    if (!PyUnicode_IS_COMPACT_ASCII(string) || length <= 0) return 0;
    const char* text = (const char*)PyUnicode_DATA(string);
    if (memcmp(text, "__", 2) != 0 || memcmp(text + 2 + length, "__", 2) != 0) return 0;
    for (size_t i = 0; i < sizeof version_slot_names / sizeof *version_slot_names; ++i) {
        const char* name = version_slot_names[i];
        if (strlen(name) == (size_t)length && memcmp(text + 2, name, (size_t)length) == 0) return 1;
    }
#else
    (void)string;
#endif
    return 0;
}

const void *pycds_static_strings(void) {
#ifdef VERSION_HAS_STATIC_STRINGS
    return version_static_strings();
#else
    return NULL;
#endif
}

int pycds_is_static_string(PyObject *object) {
#ifdef VERSION_HAS_STATIC_STRINGS
    return version_is_static_string(object);
#else
    (void)object;
    return 0;
#endif
}

void pycds_defer_collection(int allocations) {
    struct _gc_runtime_state* gc = &PyThreadState_Get()->interp->gc;
    if (allocations == 0) {
        /* Also where somebody has begun to watch meanwhile. */
        if (VERSION_YOUNG_COUNT(gc) < 0) VERSION_YOUNG_COUNT(gc) = 0;
        return;
    }
    if (gc->debug != 0 || (gc->callbacks != NULL && PyList_GET_SIZE(gc->callbacks) != 0)) return;
    VERSION_YOUNG_COUNT(gc) = -allocations;
}

#ifdef VERSION_WATCHES_DICTS
uint64_t pycds_dict_version(PyObject* dict) { return version_dict_version(dict); }
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* for programs; here exactly X.Y.Z is known */
uint64_t pycds_dict_version(PyObject* dict) { return ((PyDictObject*)dict)->ma_version_tag; }
#pragma GCC diagnostic pop
#endif

uint64_t pycds_type_version(PyTypeObject* type) {
    /* A look-up gives it one (assign_version_tag() in Objects/typeobject.c). */
#ifdef VERSION_TYPE_VERSION_HAS_FLAG
    static PyObject* name = NULL;
    if (name == NULL) name = PyUnicode_InternFromString("__init__");
    if (name == NULL) {
        PyErr_Clear();
        return 0;
    }
    _PyType_Lookup(type, name);
    return PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG) ? type->tp_version_tag : 0;
#else
    _PyType_Lookup(type, (PyObject*)&_Py_ID(__init__));
    return type->tp_version_tag;
#endif
}

int pycds_is_finalizing(void) {
    return _PyRuntimeState_GetFinalizing(&_PyRuntime) != NULL;
}

void *pycds_allocate_dict_keys(size_t size) { return version_allocate_dict_keys(size); }

void pycds_free_dict_keys(void *keys) { version_free_dict_keys(keys); }

Py_hash_t pycds_hash_bytes(const void* bytes, Py_ssize_t size) { return VERSION_HASH_BYTES(bytes, size); }

int pycds_in_main_interpreter(void) {
    return PyInterpreterState_Get() == PyInterpreterState_Main();
}
