/* The table of a dict in 3.11 and later. Sources: struct _dictkeysobject and PyDictKeyEntry in
 * Include/internal/pycore_dict.h of 3.11.2 and 3.13.5. */
#pragma once

#include "internal/pycore_dict.h"
#include "internal/pycore_pyhash.h"

static size_t places_of(const PyDictKeysObject* keys) { return (size_t)1 << keys->dk_log2_size; }

static PyDictKeyEntry* entries_of(PyDictKeysObject* keys) { return DK_ENTRIES(keys); }

/* Has nothing but strings been in it so far? */
static int is_as_made(const PyDictKeysObject* keys) { return keys->dk_kind == DICT_KEYS_UNICODE; }

static int holds_hashes(const PyDictKeysObject* keys) {
    return keys->dk_kind == DICT_KEYS_GENERAL;
}

/* An entry as a general table has it. */
static PyDictKeyEntry entry_at(PyDictKeysObject* keys, Py_ssize_t i) {
    if (holds_hashes(keys)) return DK_ENTRIES(keys)[i];
    PyDictKeyEntry entry;
    entry.me_key = DK_UNICODE_ENTRIES(keys)[i].me_key;
    entry.me_value = DK_UNICODE_ENTRIES(keys)[i].me_value;
    entry.me_hash = entry.me_value == NULL ? -1 : ((PyASCIIObject*)entry.me_key)->hash;
    return entry;
}

/* Of a new, general table that takes the place of `old`. */
static void make_head(PyDictKeysObject* keys, size_t places, const PyDictKeysObject* old) {
    (void)old;
    memset(keys, 0, sizeof *keys);
    keys->dk_refcnt = 1;
    keys->dk_log2_size = (uint8_t)__builtin_ctzll(places);
    keys->dk_log2_index_bytes = (uint8_t)__builtin_ctzll(places * index_width(places));
    keys->dk_kind = DICT_KEYS_GENERAL;
}
