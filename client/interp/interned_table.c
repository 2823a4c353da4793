/* See interned_table.h. Sources: lookdict_index() and dictresize() in Objects/dictobject.c, unicode_hash()
 * in Objects/unicodeobject.c; alike in 3.9.18, 3.10.13, 3.11.2, 3.12.1, 3.13.5 and 3.14.8. What a table looks
 * like is told by one of two headers: before 3.11 CPython does not install its own. _Py_hashtable_t:
 * Include/internal/pycore_hashtable.h and Python/hashtable.c, alike since 3.9. */
#define Py_BUILD_CORE 1
#include "client/interp/interned_table.h"

#include <string.h>

#include "internal/pycore_hashtable.h"
#include "client/interp/internals.h"

/* Bytes of an entry of the index of a table with that many places. */
static size_t index_width(size_t places) {
    return places <= 0xff ? 1 : places <= 0xffff ? 2 : places <= 0xffffffff ? 4 : 8;
}

#if __has_include("internal/pycore_dict.h")
#include "client/interp/dict_keys_since_3_11.h"
#else
#include "client/interp/dict_keys_before_3_11.h"
#endif

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
    switch (index_width(places_of(keys))) {
        case 1: return ((const int8_t*)keys->dk_indices)[at];
        case 2: return ((const int16_t*)keys->dk_indices)[at];
        case 4: return ((const int32_t*)keys->dk_indices)[at];
        default: return (Py_ssize_t)((const int64_t*)keys->dk_indices)[at];
    }
}

static void set_index_at(PyDictKeysObject* keys, size_t at, Py_ssize_t index) {
    switch (index_width(places_of(keys))) {
        case 1: ((int8_t*)keys->dk_indices)[at] = (int8_t)index; break;
        case 2: ((int16_t*)keys->dk_indices)[at] = (int16_t)index; break;
        case 4: ((int32_t*)keys->dk_indices)[at] = (int32_t)index; break;
        default: ((int64_t*)keys->dk_indices)[at] = index;
    }
}

/* Gives `dict` a table of that many places, a power of two, for what it holds. As dictresize() does it, but
 * for two things: its entries hold hashes, and the unused ones are not touched, so that they take no
 * memory. */
static int rebuild(PyObject* dict, size_t places) {
    PyDictKeysObject* old = keys_of(dict);
    const size_t index_bytes = places * index_width(places);
    const size_t mask = places - 1;
    const size_t usable = (places << 1) / 3; /* USABLE_FRACTION() */
    PyDictKeysObject* keys =
        pycds_allocate_dict_keys(sizeof *keys + index_bytes + usable * sizeof(PyDictKeyEntry));
    if (keys == NULL) return -1;
    make_head(keys, places, old);
    memset(keys->dk_indices, 0xff, index_bytes); /* DKIX_EMPTY */
    PyDictKeyEntry* entries = entries_of(keys);
    for (Py_ssize_t i = 0; i < old->dk_nentries; ++i) {
        const PyDictKeyEntry entry = entry_at(old, i);
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
    if (((PyDictObject*)dict)->ma_values != NULL || keys->dk_refcnt != 1 || places_of(keys) < 32 ||
        !is_as_made(keys)) {
        return -1;
    }
    return holds_hashes(keys) ? 0 : rebuild(dict, places_of(keys));
}

void pycds_interned_make_room(PyObject* dict, Py_ssize_t count) {
    const PyDictKeysObject* keys = keys_of(dict);
    if (holds_hashes(keys) && keys->dk_usable < count) rebuild(dict, 2 * places_of(keys));
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
    PyDictKeyEntry* entries = entries_of(keys);
    const size_t mask = places_of(keys) - 1;
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
        if (rebuild(dict, 2 * places_of(keys)) != 0) return NULL;
        keys = keys_of(dict);
        find(keys, string, hash, &slot);
    }
    PyDictKeyEntry* entry = &entries_of(keys)[keys->dk_nentries];
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
static PyObject* find_as_made(PyDictKeysObject* keys, PyObject* string, Py_hash_t hash) {
    const size_t mask = places_of(keys) - 1;
    size_t perturb = (size_t)hash;
    size_t at = (size_t)hash & mask;
    for (;;) {
        const Py_ssize_t index = index_at(keys, at);
        if (index == DKIX_EMPTY) return NULL;
        if (index >= 0) {
            const PyDictKeyEntry entry = entry_at(keys, index);
            if (entry.me_hash == hash && equal(string, entry.me_key)) return entry.me_value;
        }
        perturb >>= PERTURB_SHIFT;
        at = (at * 5 + perturb + 1) & mask;
    }
}

PyObject* pycds_interned_find(PyObject* dict, PyObject* string, Py_hash_t hash) {
    size_t slot = 0;
    PyObject* other = pycds_interned_static(string, hash);
    if (other != NULL) return other;
    if (!holds_hashes(keys_of(dict))) return find_as_made(keys_of(dict), string, hash);
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
    if (!holds_hashes(keys)) return;
    PyDictKeyEntry* entries = entries_of(keys);
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
