#include "client/loader/handout.h"

#include <cstring>

#include "client/interp/common_layout.h"
#include "client/loader/interning.h"

namespace pycds::loader {
namespace {

void intern_strings(MappedImage& image, const image::RootRecord& root) {
    interning().make_room();
    const uint32_t* at = image.intern_list(root);
    const uint32_t* end = at + root.intern_size;
    while (at != end) {
        const uint32_t word = at[0];
        const uint32_t slots = at[1];
        at += 2;
        // Canonical since another module of this image was handed out.
        if (!image.is_canonical(word)) {
            auto* string = image.at_word<PyObject>(word);
            PyObject* known = interning().canonical(string);
            if (known == string) {
                image.note_canonical(word);
            } else {
                for (uint32_t i = 0; i < slots; ++i) {
                    *image.at_word<PyObject*>(at[i]) = known;
                    image.pin(uint64_t{at[i]} * 8);
                }
            }
        }
        at += slots;
    }
}

// Fills one frozenset as unmarshalling would: by insertion, in the order of the .pyc, with this
// process's hashes. The set is made on the heap by the public API and its table moved over.
bool fill_frozenset(const MappedImage& image, const image::FrozensetRecord& record) {
    PyObject* filled = PyFrozenSet_New(nullptr);
    if (filled == nullptr) return false;
    auto* const* elements = image.at_word<PyObject*>(record.elements);
    for (uint32_t i = 0; i < record.count; ++i) {
        if (PySet_Add(filled, elements[i]) != 0) {
            Py_DECREF(filled);
            return false;
        }
    }
    auto* from = reinterpret_cast<PySetObject*>(filled);
    auto* to = image.at_word<PySetObject>(record.object);
    to->fill = from->fill;
    to->used = from->used;
    to->mask = from->mask;
    if (from->table == from->smalltable) {
        std::memcpy(to->smalltable, from->smalltable, sizeof to->smalltable);
        to->table = to->smalltable;
    } else {
        to->table = from->table;
    }
    // What is left of the heap set is an empty one; its references went with the table.
    from->fill = 0;
    from->used = 0;
    from->mask = PySet_MINSIZE - 1;
    from->table = from->smalltable;
    std::memset(from->smalltable, 0, sizeof from->smalltable);
    Py_DECREF(filled);
    return true;
}

}  // namespace

PyObject* prepare_module(MappedImage& image, const image::RootRecord& root) {
    intern_strings(image, root);
    const image::FrozensetRecord* records = image.frozensets(root);
    for (uint32_t i = 0; i < root.frozenset_count; ++i) {
        if (!fill_frozenset(image, records[i])) {
            PyErr_Clear();
            return nullptr;
        }
    }
    return image.at<PyObject>(root.code_offset);
}

}  // namespace pycds::loader
