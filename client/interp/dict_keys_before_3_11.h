/* The table of a dict in 3.9 and 3.10, whose entries hold hashes whatever the keys are. Sources: struct
 * _dictkeysobject in Objects/dict-common.h, which is not installed, and DK_IXSIZE() in
 * Objects/dictobject.c of 3.9.18 and 3.10.13. */
#pragma once

#define DKIX_EMPTY (-1)

typedef struct {
    Py_hash_t me_hash;
    PyObject* me_key;
    PyObject* me_value;
} PyDictKeyEntry;

struct _dictkeysobject {
    Py_ssize_t dk_refcnt;
    Py_ssize_t dk_size; /* places */
    void* dk_lookup;    /* which of the functions for looking up */
    Py_ssize_t dk_usable;
    Py_ssize_t dk_nentries;
    char dk_indices[];
};

static size_t places_of(const PyDictKeysObject* keys) { return (size_t)keys->dk_size; }

static PyDictKeyEntry* entries_of(PyDictKeysObject* keys) {
    const size_t places = places_of(keys);
    return (PyDictKeyEntry*)(keys->dk_indices + places * index_width(places));
}

/* Is it what we take it for? */
static int is_as_made(const PyDictKeysObject* keys) {
    return (places_of(keys) & (places_of(keys) - 1)) == 0 && keys->dk_lookup != NULL &&
           keys->dk_usable >= 0 && keys->dk_nentries >= 0 &&
           (size_t)(keys->dk_usable + keys->dk_nentries) <= (places_of(keys) << 1) / 3;
}

static int holds_hashes(const PyDictKeysObject* keys) {
    (void)keys;
    return 1;
}

static PyDictKeyEntry entry_at(PyDictKeysObject* keys, Py_ssize_t i) { return entries_of(keys)[i]; }

/* Of a new table that takes the place of `old`. Functions for looking up differ in the keys that they
 * expect, not in the table. */
static void make_head(PyDictKeysObject* keys, size_t places, const PyDictKeysObject* old) {
    keys->dk_refcnt = 1;
    keys->dk_size = (Py_ssize_t)places;
    keys->dk_lookup = old->dk_lookup;
    keys->dk_usable = 0;
    keys->dk_nentries = 0;
}
