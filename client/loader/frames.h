// What code runs in this process. Freestanding.
#pragma once

#include <Python.h>

#include "client/interp/interp.h"

namespace pycds::loader {

inline bool is_frozen(const PyCodeObject* code) {
    constexpr char kPrefix[] = "<frozen ";
    for (Py_ssize_t i = 0; kPrefix[i] != '\0'; ++i) {
        if (i >= PyUnicode_GET_LENGTH(code->co_filename) ||
            PyUnicode_READ_CHAR(code->co_filename, i) != static_cast<Py_UCS4>(kPrefix[i])) {
            return false;
        }
    }
    return true;
}

// Part of the interpreter, older than any program: importlib, site, runpy.
inline bool is_interpreters(const PyCodeObject* code) {
    if (is_frozen(code)) return true;
    if (interp::kSiteIsFrozen) return false;
    PyObject* site = PyDict_GetItemString(PyImport_GetModuleDict(), "site");  // borrowed
    PyObject* file = site != nullptr && PyModule_Check(site)
                         ? PyDict_GetItemString(PyModule_GetDict(site), "__file__")
                         : nullptr;
    return file != nullptr && PyUnicode_Check(file) && PyUnicode_Compare(file, code->co_filename) == 0;
}

// Calls visit(code) for the code of the program that runs, in all threads of this interpreter, until one
// call returns false; returns whether none did. `visit` runs no Python code.
template <typename Visit>
bool for_each_running_code(Visit visit) {
    PyThreadState* thread = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; thread != nullptr; thread = PyThreadState_Next(thread)) {
        PyFrameObject* frame = PyThreadState_GetFrame(thread);
        while (frame != nullptr) {
            PyCodeObject* code = PyFrame_GetCode(frame);
            const bool ok = is_interpreters(code) || visit(code);
            Py_DECREF(code);
            PyFrameObject* back = ok ? PyFrame_GetBack(frame) : nullptr;
            Py_DECREF(frame);
            if (!ok) return false;
            frame = back;
        }
    }
    return true;
}

// Does a program run, or does the interpreter import something for itself (sitecustomize at start, linecache
// under -c)?
inline bool program_runs() {
    return !for_each_running_code([](PyCodeObject*) { return false; });
}

}  // namespace pycds::loader
