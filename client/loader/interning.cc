#include "client/loader/interning.h"

#include "client/interp/common_layout.h"
#include "client/interp/identity.h"
#include "client/interp/internals.h"
#include "client/interp/interned_table.h"
#include "client/loader/frames.h"
#include "src/common/base/checked.h"

namespace pycds::loader {
namespace {

constinit Interning the_interning;

constexpr const char* kCapsuleName = "_pycds.interning";

void at_end(PyObject*) {
    the_interning.end();
}

// Adds the strings among the constants of a code object, and of those in it, to a set: what a program may
// have stored somewhere. False: out of memory.
bool add_constants(PyCodeObject* code, PyObject* set) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_consts); ++i) {
        PyObject* constant = PyTuple_GET_ITEM(code->co_consts, i);
        if (PyCode_Check(constant)) {
            if (!add_constants(reinterpret_cast<PyCodeObject*>(constant), set)) return false;
        } else if (PyUnicode_CheckExact(constant) && PySet_Add(set, constant) != 0) {
            return false;
        }
    }
    return true;
}

}  // namespace

Interning& interning() {
    return the_interning;
}

void Interning::find_dict(const MappedImage& image) {
    PyObject* dict = pycds_interned_dict();
    if (dict == nullptr) {
        dict = static_cast<PyObject*>(interp::dict_of_variable(image.interned_dict_variable()));
    }
    if (dict == nullptr) return;
    // Believe it only if it knows a string that has just been interned.
    PyObject* probe = PyUnicode_InternFromString("_pycds_interning");
    if (probe != nullptr && PyDict_GetItemWithError(dict, probe) == probe) dict_ = dict;
    Py_XDECREF(probe);
    PyErr_Clear();
}

// The interpreter's own dict is cleared when it ends, after all modules are gone and before
// interned strings are walked (Python/pystate.c interpreter_clear(), Python/pylifecycle.c
// finalize_interp_clear()). Nothing else is called at that time.
bool Interning::call_back_at_end() {
    PyObject* own = PyInterpreterState_GetDict(PyInterpreterState_Get());  // borrowed
    PyObject* capsule = own == nullptr ? nullptr : PyCapsule_New(this, kCapsuleName, at_end);
    if (capsule == nullptr) {
        PyErr_Clear();
        return false;
    }
    const bool stored = PyDict_SetItemString(own, kCapsuleName, capsule) == 0;
    if (!stored) {
        PyErr_Clear();
        PyCapsule_SetDestructor(capsule, nullptr);
    }
    Py_DECREF(capsule);
    return stored;
}

void Interning::begin(const MappedImage* images, size_t count) {
    find_dict(images[0]);
    readable_ = dict_;
    if (dict_ == nullptr) return;
    // Entering strings without writing to them, and letting those of the start give way, spares pages. Where
    // all that is used is written anyway it would only make the dict larger.
    if (images[0].relocation().moved()) {
        dict_ = nullptr;
        return;
    }
    if (!call_back_at_end() || pycds_interned_generalise(dict_) != 0) {
        dict_ = nullptr;
        readable_ = nullptr;
        return;
    }
    images_ = images;
    image_count_ = count;
    PyObject* seen = PySet_New(nullptr);
    const bool known = seen != nullptr && for_each_running_code([&](PyCodeObject* code) {
        return add_constants(code, seen);
    });
    uint64_t at = known ? images[0].startup_strings_begin() : images[0].startup_strings_end();
    while (at < images[0].startup_strings_end()) {
        auto* string = reinterpret_cast<PyObject*>(at);
        at = align_up(at + interp::str_size(string), image::kObjectAlignment);
        if (!pycds_is_compared_name(string)) make_canonical(string, seen);
    }
    Py_XDECREF(seen);
    PyErr_Clear();
    // After the strings of the image, which have no hash.
    pycds_intern_hashed_names();
    for_each_running_code([this](PyCodeObject* code) {
        rename(code);
        return true;
    });
}

// The names in a code object made before, and in those in it, become the canonical ones, as if it had been
// made now. A name is no value that a program holds.
void Interning::rename(PyCodeObject* code) const {
    for (const size_t offset : interp::kCodeNames) {
        rename(*reinterpret_cast<PyObject* const*>(reinterpret_cast<const char*>(code) + offset));
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_consts); ++i) {
        PyObject* constant = PyTuple_GET_ITEM(code->co_consts, i);
        if (PyCode_Check(constant)) {
            rename(reinterpret_cast<PyCodeObject*>(constant));
        } else if (PyTuple_CheckExact(constant)) {
            rename(constant);  // names of keyword arguments
        }
    }
}

void Interning::rename(PyObject* names) const {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); ++i) {
        PyObject* name = PyTuple_GET_ITEM(names, i);
        // A string that is not marked is not to be interned.
        if (!PyUnicode_CheckExact(name) || PyUnicode_CHECK_INTERNED(name) == 0) continue;
        PyObject* canonical = pycds_interned_find(dict_, name, pycds_string_hash(name));
        if (canonical != nullptr && canonical != name) {
            PyTuple_SET_ITEM(names, i, Py_NewRef(canonical));
            Py_DECREF(name);
        }
    }
}

// Makes `string` the canonical one, also if the process has an equal one that is not in the set `seen`.
void Interning::make_canonical(PyObject* string, PyObject* seen) const {
    const Py_hash_t hash = pycds_string_hash(string);
    PyObject* known = pycds_interned_canonical(dict_, string, hash);
    if (known == nullptr || known == string || PySet_Contains(seen, known) != 0 ||
        pycds_interned_static(string, hash) != nullptr) {
        return;
    }
    PyObject* older = pycds_interned_take_over(dict_, string, hash);
    // It must outlive the dict's entry, whose references are not in its count
    // (Objects/unicodeobject.c, PyUnicode_InternInPlace and unicode_dealloc).
    if (older != nullptr) interp::make_immortal(older);
}

void Interning::make_room() const {
    // What imports intern between two hand-outs without us, and more.
    constexpr Py_ssize_t kRoom = 1024;
    if (dict_ != nullptr) pycds_interned_make_room(dict_, kRoom);
}

PyObject* Interning::canonical(PyObject* string) const {
    if (dict_ != nullptr) {
        PyObject* known = pycds_interned_canonical(dict_, string, pycds_string_hash(string));
        // Keeps an older string alive for the slots that will name it; never given back.
        if (known != nullptr && known != string) Py_INCREF(known);
        if (known != nullptr) return known;
    }
    return enter(string);
}

PyObject* Interning::find(PyObject* string) const {
    if (readable_ == nullptr) return nullptr;
    PyObject* known = pycds_interned_find(readable_, string, pycds_string_hash(string));
    if (known != nullptr && known != string) Py_INCREF(known);
    return known;
}

PyObject* Interning::enter(PyObject* string) const {
    interp::unmark_interned(string);
    PyObject* result = string;
    PyUnicode_InternInPlace(&result);
    return result;
}

void Interning::end() {
    readable_ = nullptr;
    if (dict_ == nullptr) return;
    for (size_t i = 0; i < image_count_; ++i) {
        pycds_interned_forget(dict_, images_[i].at<void>(0),
                              images_[i].at<void>(images_[i].size()));
    }
    dict_ = nullptr;
}

}  // namespace pycds::loader
