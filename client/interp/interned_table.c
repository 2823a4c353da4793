/* See interned_table.h. Sources: struct _dictkeysobject and PyDictKeyEntry in
 * Include/internal/pycore_dict.h, lookdict_index() and dictresize() in
 * Objects/dictobject.c, unicode_hash() in Objects/unicodeobject.c; alike in 3.11.2, 3.12.1, 3.13.5 and
 * 3.14.8. _Py_hashtable_t: Include/internal/pycore_hashtable.h and Python/hashtable.c, alike since 3.9. */
#define Py_BUILD_CORE 1
#include "client/interp/interned_table.h"

#include <string.h>

#include "internal/pycore_dict.h"
#include "internal/pycore_hashtable.h"
#include "client/interp/internals.h"

#define PERTURB_SHIFT 5 /* Objects/dictobject.c */

static PyDictKeysObject* keys_of(PyObject* dict) {
    return ((PyDictObject*)dict)->ma_keys;
}

Py_hash_t pycds_string_hash(PyObject* string) {
    const Py_hash_t known = ((PyASCIIObject*)string)->hash;
    if (known != -1) return known;
    return pycds_hash_bytes(PyUnicode_DATA(string),
                            PyUnicode_GET_LENGTH(string) * (Py_ssize_t)PyUnicode_KIND(string));
}

static Py_ssize_t index_at(const PyDictKeysObject* keys, size_t at) {
    if (keys->dk_log2_size < 8) return ((const int8_t*)keys->dk_indices)[at];
    if (keys->dk_log2_size < 16) return ((const int16_t*)keys->dk_indices)[at];
    if (keys->dk_log2_size < 32) return ((const int32_t*)keys->dk_indices)[at];
    return (Py_ssize_t)((const int64_t*)keys->dk_indices)[at];
}

static void set_index_at(PyDictKeysObject* keys, size_t at, Py_ssize_t index) {
    if (keys->dk_log2_size < 8) {
        ((int8_t*)keys->dk_indices)[at] = (int8_t)index;
    } else if (keys->dk_log2_size < 16) {
        ((int16_t*)keys->dk_indices)[at] = (int16_t)index;
    } else if (keys->dk_log2_size < 32) {
        ((int32_t*)keys->dk_indices)[at] = (int32_t)index;
    } else {
        ((int64_t*)keys->dk_indices)[at] = index;
    }
}

/* Gives `dict` a table of 2^log2_size places for what it holds. As dictresize() does it, but for two
 * things: it is a general table, and its unused entries are not touched, so that they take no memory. */
static int rebuild(PyObject* dict, uint8_t log2_size) {
    PyDictKeysObject* old = keys_of(dict);
    uint8_t log2_index_bytes = log2_size;
    if (log2_size >= 32) {
        log2_index_bytes = (uint8_t)(log2_size + 3);
    } else if (log2_size >= 16) {
        log2_index_bytes = (uint8_t)(log2_size + 2);
    } else if (log2_size >= 8) {
        log2_index_bytes = (uint8_t)(log2_size + 1);
    }
    const size_t index_bytes = (size_t)1 << log2_index_bytes;
    const size_t mask = ((size_t)1 << log2_size) - 1;
    const size_t usable = ((mask + 1) << 1) / 3; /* USABLE_FRACTION() */
    PyDictKeysObject* keys =
        pycds_allocate_dict_keys(sizeof *keys + index_bytes + usable * sizeof(PyDictKeyEntry));
    if (keys == NULL) return -1;
    memset(keys, 0, sizeof *keys);
    keys->dk_refcnt = 1;
    keys->dk_log2_size = log2_size;
    keys->dk_log2_index_bytes = log2_index_bytes;
    keys->dk_kind = DICT_KEYS_GENERAL;
    memset(keys->dk_indices, 0xff, index_bytes); /* DKIX_EMPTY */
    PyDictKeyEntry* entries = DK_ENTRIES(keys);
    for (Py_ssize_t i = 0; i < old->dk_nentries; ++i) {
        PyDictKeyEntry entry;
        if (old->dk_kind == DICT_KEYS_GENERAL) {
            entry = DK_ENTRIES(old)[i];
        } else {
            entry.me_key = DK_UNICODE_ENTRIES(old)[i].me_key;
            entry.me_value = DK_UNICODE_ENTRIES(old)[i].me_value;
            entry.me_hash = entry.me_value == NULL ? -1 : ((PyASCIIObject*)entry.me_key)->hash;
        }
        if (entry.me_value == NULL) continue;
        size_t perturb = (size_t)entry.me_hash;
        size_t at = perturb & mask;
        while (index_at(keys, at) != DKIX_EMPTY) {
            perturb >>= PERTURB_SHIFT;
            at = (at * 5 + perturb + 1) & mask;
        }
        set_index_at(keys, at, keys->dk_nentries);
        entries[keys->dk_nentries++] = entry;
    }
    keys->dk_usable = (Py_ssize_t)usable - keys->dk_nentries;
    ((PyDictObject*)dict)->ma_keys = keys;
    pycds_free_dict_keys(old);
    return 0;
}

int pycds_interned_generalise(PyObject* dict) {
    PyDictKeysObject* keys = keys_of(dict);
    /* Anything else is not what the interpreter made; and the smallest tables are kept for reuse. */
    if (((PyDictObject*)dict)->ma_values != NULL || keys->dk_refcnt != 1 || keys->dk_log2_size < 5 ||
        keys->dk_kind != DICT_KEYS_UNICODE) {
        return -1;
    }
    return rebuild(dict, keys->dk_log2_size);
}

void pycds_interned_make_room(PyObject* dict, Py_ssize_t count) {
    const PyDictKeysObject* keys = keys_of(dict);
    if (keys->dk_kind == DICT_KEYS_GENERAL && keys->dk_usable < count) {
        rebuild(dict, (uint8_t)(keys->dk_log2_size + 1));
    }
}

static int equal(PyObject* a, PyObject* b) {
    if (a == b) return 1;
    const Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    return PyUnicode_CheckExact(b) && PyUnicode_GET_LENGTH(b) == length &&
           PyUnicode_KIND(a) == PyUnicode_KIND(b) &&
           memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b),
                  (size_t)length * (size_t)PyUnicode_KIND(a)) == 0;
}

/* The entry of an equal string, or NULL; then *slot is the first empty place of the index. */
static PyDictKeyEntry* find(PyDictKeysObject* keys, PyObject* string, Py_hash_t hash,
                            size_t* slot) {
    PyDictKeyEntry* entries = DK_ENTRIES(keys);
    const size_t mask = ((size_t)1 << keys->dk_log2_size) - 1;
    size_t perturb = (size_t)hash;
    size_t at = (size_t)hash & mask;
    for (;;) {
        const Py_ssize_t index = index_at(keys, at);
        if (index == DKIX_EMPTY) {
            *slot = at;
            return NULL;
        }
        if (index >= 0 && entries[index].me_hash == hash && equal(string, entries[index].me_key)) {
            return &entries[index];
        }
        perturb >>= PERTURB_SHIFT;
        at = (at * 5 + perturb + 1) & mask;
    }
}

/* At an empty place of the index, which find() named. */
static PyObject* enter(PyObject* dict, PyObject* string, Py_hash_t hash, size_t slot) {
    PyDictKeysObject* keys = keys_of(dict);
    if (keys->dk_usable <= 0) {
        if (rebuild(dict, (uint8_t)(keys->dk_log2_size + 1)) != 0) return NULL;
        keys = keys_of(dict);
        find(keys, string, hash, &slot);
    }
    PyDictKeyEntry* entry = &DK_ENTRIES(keys)[keys->dk_nentries];
    entry->me_hash = hash;
    entry->me_key = string;
    entry->me_value = string;
    set_index_at(keys, slot, keys->dk_nentries);
    keys->dk_nentries++;
    keys->dk_usable--;
    ((PyDictObject*)dict)->ma_used++;
    return string;
}

PyObject* pycds_interned_static(PyObject* string, Py_hash_t hash) {
    const _Py_hashtable_t* table = pycds_static_strings();
    if (table == NULL) return NULL;
    /* _Py_hashtable_get() would store the hash in the string. */
    const _Py_slist_t* bucket = &table->buckets[(size_t)hash & (table->nbuckets - 1)];
    for (const _Py_slist_item_t* item = bucket->head; item != NULL; item = item->next) {
        const _Py_hashtable_entry_t* entry = (const _Py_hashtable_entry_t*)item;
        if (entry->key_hash == (Py_uhash_t)hash && equal(string, entry->key)) return entry->value;
    }
    return NULL;
}

PyObject* pycds_interned_canonical(PyObject* dict, PyObject* string, Py_hash_t hash) {
    size_t slot = 0;
    PyObject* other = pycds_interned_static(string, hash);
    if (other != NULL) return other;
    PyDictKeyEntry* entry = find(keys_of(dict), string, hash, &slot);
    return entry != NULL ? entry->me_value : enter(dict, string, hash, slot);
}

/* As find() and get the value, in a dict that is as CPython made it. */
static PyObject* find_among_strings(PyDictKeysObject* keys, PyObject* string, Py_hash_t hash) {
    const PyDictUnicodeEntry* entries = DK_UNICODE_ENTRIES(keys);
    const size_t mask = ((size_t)1 << keys->dk_log2_size) - 1;
    size_t perturb = (size_t)hash;
    size_t at = (size_t)hash & mask;
    for (;;) {
        const Py_ssize_t index = index_at(keys, at);
        if (index == DKIX_EMPTY) return NULL;
        if (index >= 0) {
            PyObject* key = entries[index].me_key;
            if (((PyASCIIObject*)key)->hash == hash && equal(string, key)) {
                return entries[index].me_value;
            }
        }
        perturb >>= PERTURB_SHIFT;
        at = (at * 5 + perturb + 1) & mask;
    }
}

PyObject* pycds_interned_find(PyObject* dict, PyObject* string, Py_hash_t hash) {
    size_t slot = 0;
    PyObject* other = pycds_interned_static(string, hash);
    if (other != NULL) return other;
    if (keys_of(dict)->dk_kind == DICT_KEYS_UNICODE) {
        return find_among_strings(keys_of(dict), string, hash);
    }
    const PyDictKeyEntry* entry = find(keys_of(dict), string, hash, &slot);
    return entry == NULL ? NULL : entry->me_value;
}

PyObject* pycds_interned_take_over(PyObject* dict, PyObject* string, Py_hash_t hash) {
    size_t slot = 0;
    PyDictKeyEntry* entry = find(keys_of(dict), string, hash, &slot);
    if (entry == NULL) {
        enter(dict, string, hash, slot);
        return NULL;
    }
    if (entry->me_value == string) return NULL;
    entry->me_value = string;
    return entry->me_key;
}

static int between(const void* object, const void* begin, const void* end) {
    return (const char*)object >= (const char*)begin && (const char*)object < (const char*)end;
}

void pycds_interned_forget(PyObject* dict, const void* begin, const void* end) {
    PyDictKeysObject* keys = keys_of(dict);
    if (keys->dk_kind != DICT_KEYS_GENERAL) return;
    PyDictKeyEntry* entries = DK_ENTRIES(keys);
    for (Py_ssize_t i = 0; i < keys->dk_nentries; ++i) {
        PyDictKeyEntry* entry = &entries[i];
        if (entry->me_value == NULL) continue;
        if (between(entry->me_key, begin, end)) {
            /* As after a deletion, but for the index, which leads to an entry that equals nothing:
             * -1 is nobody's hash. */
            entry->me_key = NULL;
            entry->me_value = NULL;
            entry->me_hash = -1;
            ((PyDictObject*)dict)->ma_used--;
        } else if (between(entry->me_value, begin, end)) {
            entry->me_value = entry->me_key;
        }
    }
}
