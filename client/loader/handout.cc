#include "client/loader/handout.h"

#include <cstring>

#include "client/interp/common_layout.h"
#include "client/loader/interning.h"
#include "client/loader/run_once.h"

namespace pycds::loader {
namespace {

// Makes the objects of a module right, but for its strings that are to be interned. False: they are
// of no use.
bool relocate(MappedImage& image, const image::RootRecord& root, Relocator& relocator) {
    const uint32_t* at = image.intern_list(root);
    const uint32_t* end = at + root.intern_size;
    for (; at != end; at += 2 + at[1]) image.note_listed(at[0]);
    if (!relocator.object(root.code_offset)) return false;
    const image::FrozensetRecord* records = image.frozensets(root);
    for (uint32_t i = 0; i < root.frozenset_count; ++i) {
        if (!relocator.frozenset(records[i])) return false;
    }
    return true;
}

PyObject* canonical(Relocator& relocator, PyObject* string, uint32_t word) {
    if (PyObject* known = interning().find(string)) return known;
    relocator.string(uint64_t{word} * 8);
    return interning().enter(string);
}

void intern_strings(MappedImage& image, const image::RootRecord& root, Relocator* relocator) {
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
            PyObject* known = relocator == nullptr ? interning().canonical(string)
                                                   : canonical(*relocator, string, word);
            if (known == string) {
                image.note_canonical(word);
            } else {
                for (uint32_t i = 0; i < slots; ++i) {
                    if (image.is_copied(uint64_t{at[i]} * 8)) continue;
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
    if (image.relocation().needed()) {
        Relocator relocator(image);
        if (!relocate(image, root, relocator)) return nullptr;
        intern_strings(image, root, image.relocation().moved() ? &relocator : nullptr);
    } else {
        intern_strings(image, root, nullptr);
    }
    const image::FrozensetRecord* records = image.frozensets(root);
    for (uint32_t i = 0; i < root.frozenset_count; ++i) {
        if (records[i].table_size == 0 && !fill_frozenset(image, records[i])) {
            PyErr_Clear();
            return nullptr;
        }
    }
    if (image.is_copied(root.code_offset)) return copy_run_once(image, root.code_offset);
    return Py_NewRef(image.at<PyObject>(root.code_offset));
}

}  // namespace pycds::loader
