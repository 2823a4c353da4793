#include "client/loader/interning.h"

#include "client/interp/common_layout.h"
#include "client/interp/internals.h"
#include "src/common/base/checked.h"

namespace pycds::loader {
namespace {

constinit Interning the_interning;

}  // namespace

Interning& interning() { return the_interning; }

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

void Interning::begin(const MappedImage& image) {
    find_dict(image);
    if (dict_ == nullptr) return;
    uint64_t at = image.startup_strings_begin();
    while (at < image.startup_strings_end()) {
        auto* string = reinterpret_cast<PyObject*>(at);
        at += align_up(interp::str_size(string), image::kObjectAlignment);
        take_over(string);
    }
}

// Makes `string` the canonical one if the process has an equal one.
void Interning::take_over(PyObject* string) const {
    PyObject* known = PyDict_GetItemWithError(dict_, string);  // borrowed
    if (known == nullptr || known == string) {
        PyErr_Clear();
        return;
    }
    // The dict keeps the older string as its key and answers with ours from now on. The older one
    // must outlive the dict's entry, whose references are not in its count
    // (Objects/unicodeobject.c, PyUnicode_InternInPlace and unicode_dealloc).
    interp::make_immortal(known);
    if (PyDict_SetItem(dict_, known, string) != 0) {
        PyErr_Clear();
        return;
    }
    interp::mark_interned(string);
}

PyObject* Interning::canonical(PyObject* string) const {
    // Where there is an older string this takes a reference to it that is never given back: it
    // keeps it alive for the slots that will name it.
    PyObject* result = string;
    PyUnicode_InternInPlace(&result);
    return result;
}

}  // namespace pycds::loader
