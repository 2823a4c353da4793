// CPython 3.9: object layouts and what of them is written at run time.
// Sources: see before_3_11.h.
#pragma once

#include <Python.h>

#define PYCDS_LINE_TABLE co_lnotab
#include "client/interp/before_3_11.h"

// The part of CPython's API that the client uses and that came with 3.10.
inline PyObject* Py_NewRef(PyObject* object) {
    Py_INCREF(object);
    return object;
}
inline PyObject* Py_XNewRef(PyObject* object) {
    Py_XINCREF(object);
    return object;
}
template <typename T>
PyObject* Py_NewRef(T* object) {
    return Py_NewRef(reinterpret_cast<PyObject*>(object));
}

inline bool PySet_CheckExact(PyObject* object) { return Py_IS_TYPE(object, &PySet_Type); }

namespace pycds::interp {

inline constexpr bool kEmptyFrozensetIsSingleton = true;

}  // namespace pycds::interp
