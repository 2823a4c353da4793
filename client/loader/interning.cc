#include "client/loader/interning.h"

#include "client/interp/common_layout.h"
#include "client/interp/internals.h"

namespace pycds::loader {

void Interning::begin(const MappedImage& image) {
    if (dict_ != nullptr) return;
    PyObject* dict = pycds_interned_dict();
    if (dict == nullptr) dict = static_cast<PyObject*>(image.interned_dict());
    if (dict == nullptr || !PyDict_CheckExact(dict)) return;
    // Believe it only if it knows a string that has just been interned.
    PyObject* probe = PyUnicode_InternFromString("_pycds_interning");
    if (probe != nullptr && PyDict_GetItemWithError(dict, probe) == probe) dict_ = dict;
    Py_XDECREF(probe);
    PyErr_Clear();
}

PyObject* Interning::canonical(PyObject* string) const {
    if (dict_ == nullptr) {
        // Takes a reference to the older string, if there is one, that is never given back: it
        // keeps it alive for the slots that will name it.
        PyObject* result = string;
        PyUnicode_InternInPlace(&result);
        return result;
    }
    PyObject* known = PyDict_SetDefault(dict_, string, string);  // borrowed
    if (known == nullptr) {
        PyErr_Clear();
        return string;
    }
    if (known != string) {
        // The dict keeps the older string as its key and answers with ours from now on. The older
        // one must outlive the dict's entry, whose references are not in its count
        // (Objects/unicodeobject.c, PyUnicode_InternInPlace and unicode_dealloc).
        interp::make_immortal(known);
        if (PyDict_SetItem(dict_, known, string) != 0) {
            PyErr_Clear();
            return known;
        }
    }
    interp::mark_interned(string);
    return string;
}

}  // namespace pycds::loader
