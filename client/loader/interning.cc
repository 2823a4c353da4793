#include "client/loader/interning.h"

#include "client/interp/common_layout.h"
#include "client/interp/internals.h"
#include "client/interp/interned_table.h"
#include "src/common/base/checked.h"

namespace pycds::loader {
namespace {

constinit Interning the_interning;

constexpr const char* kCapsuleName = "_pycds.interning";

void at_end(PyObject*) {
    the_interning.end();
}

}  // namespace

Interning& interning() {
    return the_interning;
}

void Interning::find_dict(const MappedImage& image) {
    PyObject* dict = pycds_interned_dict();
    if (dict == nullptr) dict = static_cast<PyObject*>(image.interned_dict());
    if (dict == nullptr || !PyDict_CheckExact(dict)) return;
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
    if (dict_ == nullptr) return;
    pycds_intern_hashed_names();
    if (!call_back_at_end() || pycds_interned_generalise(dict_) != 0) {
        dict_ = nullptr;
        return;
    }
    images_ = images;
    image_count_ = count;
    uint64_t at = images[0].startup_strings_begin();
    while (at < images[0].startup_strings_end()) {
        auto* string = reinterpret_cast<PyObject*>(at);
        at = align_up(at + interp::str_size(string), image::kObjectAlignment);
        if (!pycds_is_slot_name(string)) make_canonical(string);
    }
}

// Makes `string` the canonical one, also if the process has an equal one.
void Interning::make_canonical(PyObject* string) const {
    PyObject* older = pycds_interned_take_over(dict_, string, pycds_string_hash(string));
    // It must outlive the dict's entry, whose references are not in its count
    // (Objects/unicodeobject.c, PyUnicode_InternInPlace and unicode_dealloc).
    if (older != nullptr) interp::make_immortal(older);
}

PyObject* Interning::canonical(PyObject* string) const {
    if (dict_ != nullptr) {
        PyObject* known = pycds_interned_canonical(dict_, string, pycds_string_hash(string));
        // Keeps an older string alive for the slots that will name it; never given back.
        if (known != nullptr && known != string) Py_INCREF(known);
        if (known != nullptr) return known;
    }
    interp::unmark_interned(string);
    PyObject* result = string;
    PyUnicode_InternInPlace(&result);
    return result;
}

void Interning::end() {
    if (dict_ == nullptr) return;
    for (size_t i = 0; i < image_count_; ++i) {
        pycds_interned_forget(dict_, images_[i].at<void>(0),
                              images_[i].at<void>(images_[i].size()));
    }
    dict_ = nullptr;
}

}  // namespace pycds::loader
