/* Questions about the running interpreter that its public headers do not answer. Implemented in C,
 * because CPython's internal headers are not C++ (3.11's need <stdatomic.h>'s names), against the
 * internal headers of exactly the X.Y.Z that the client is compiled for: the client refuses to
 * work in any other (interpreter identity).
 *
 * All are called with the GIL held, by the main interpreter, and never raise. */
#pragma once

#include <Python.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Does anybody watch what an import does: an audit hook, an open_code hook, a code watcher,
 * tracemalloc, or a trace or profile function of this thread? Serving from an image would leave
 * them without events that stock importlib causes. */
int pycds_import_is_watched(void);

/* PyConfig.code_debug_ranges: 0 under -X no_debug_ranges, where line tables have no columns. */
int pycds_debug_ranges(void);

/* PyConfig.optimization_level: 0, 1 (-O) or 2 (-OO). */
int pycds_optimization_level(void);

/* Does the process let environment variables lead it (no -E, no -I)? Is it verbose (-v)? */
int pycds_uses_environment(void);
int pycds_is_verbose(void);

/* Address and size of _PyRuntime, which holds the statically allocated singletons and names. */
const void *pycds_runtime_address(void);
size_t pycds_runtime_size(void);

/* The dict of interned strings (borrowed), or NULL where this version hides it. */
PyObject *pycds_interned_dict(void);

/* Interns the few names for which this version's own C code takes an interned string's hash to have been
 * computed: it has, for the process's own strings. */
void pycds_intern_hashed_names(void);

/* Is it a name, mostly of a slot, that this version's own C code compares by address with a string that it
 * has interned? Then that one must stay canonical. */
int pycds_is_compared_name(PyObject *string);

/* Strings of the interpreter's file that are no members of _PyRuntime (3.12 has those of frozen modules there)
 * become canonical when such a module is imported, before any in the dict. The table of them, a
 * _Py_hashtable_t, or NULL where a version has none; and whether an object is one that is canonical now. */
const void *pycds_static_strings(void);
int pycds_is_static_string(PyObject *object);

/* Automatic collections of the young generation wait for that many more allocations than usual from now
 * on, or, with 0, no longer wait; unless somebody watches collections (gc.callbacks, gc.set_debug()). */
void pycds_defer_collection(int allocations);

/* A number that changes whenever a dict, or what a class or its bases have in their namespaces, changes; or 0,
 * which never counts as unchanged, where CPython has no number left. It may change without a reason. */
uint64_t pycds_dict_version(PyObject *dict);
uint64_t pycds_type_version(PyTypeObject *type);

/* Has the interpreter begun to take itself apart? */
int pycds_is_finalizing(void);

/* Memory for the keys object of a dict, from the domain that this version takes it from and gives it back
 * to (new_keys_object() and free_keys_object() in Objects/dictobject.c). */
void *pycds_allocate_dict_keys(size_t size);
void pycds_free_dict_keys(void *keys);

/* The hash of a string or bytes object with these contents, in this process. */
Py_hash_t pycds_hash_bytes(const void *bytes, Py_ssize_t size);

/* Is the calling thread in the main interpreter? */
int pycds_in_main_interpreter(void);

#ifdef __cplusplus
}
#endif
