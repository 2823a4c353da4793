/* The table of interned strings, written to directly. Implemented in C against the internal headers
 * of exactly the X.Y.Z that the client is compiled for, like internals.h.
 *
 * The dict of interned strings keeps, as long as all keys are strings, no hashes: it reads them
 * from its keys, so each key must have its hash stored in itself. Once it has held another key it
 * is a *general* dict, whose entries hold the hashes (Objects/dictobject.c, DICT_KEYS_GENERAL). An
 * image string can then be the process's canonical one without a byte of it being written: no hash,
 * no mark, no reference count. docs/interning.md has the argument.
 *
 * All are called with the GIL held and never raise. */
#pragma once

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes `dict`, the dict of interned strings, a general one. 0, or -1 if that cannot be done; then
 * the other functions must not be used. */
int pycds_interned_generalise(PyObject* dict);

/* Sees to it that `dict` takes `count` more strings, whoever enters them, before its table has to become
 * larger. Where CPython has to do that, the new table's unused entries take memory. */
void pycds_interned_make_room(PyObject* dict, Py_ssize_t count);

/* The hash that `string`, an exact and compact str, has in this process; not stored in it. */
Py_hash_t pycds_string_hash(PyObject* string);

/* The string equal to `string` (borrowed) among those that come before all in the dict, and which therefore
 * nothing can replace (pycds_static_strings()), or NULL. */
PyObject* pycds_interned_static(PyObject* string, Py_hash_t hash);

/* The canonical string equal to `string` (borrowed): the one that `dict` had, or `string` itself,
 * which it has from now on. Neither is written to. `string` must live as long as `dict`, and must
 * be taken out by pycds_interned_forget() before CPython walks the dict at finalisation. NULL: out
 * of memory. */
PyObject* pycds_interned_canonical(PyObject* dict, PyObject* string, Py_hash_t hash);

/* The canonical string equal to `string` (borrowed), or NULL if there is none. `dict` need not be general. */
PyObject* pycds_interned_find(PyObject* dict, PyObject* string, Py_hash_t hash);

/* As pycds_interned_canonical(), but if `dict` has an older string equal to `string`, makes `string` the canonical one
 * in its place and returns the older one (borrowed), which stays the key and must be made immortal.
 * NULL: there was none, or it was `string`. */
PyObject* pycds_interned_take_over(PyObject* dict, PyObject* string, Py_hash_t hash);

/* Takes all strings between two addresses out of `dict`, without touching them. Where such a string
 * stands for an older one, the older one is canonical again. */
void pycds_interned_forget(PyObject* dict, const void* begin, const void* end);

#ifdef __cplusplus
}
#endif
