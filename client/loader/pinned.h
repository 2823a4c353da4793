// Things of importlib that were there when the client came, and whether they still are. Serving is
// right only while everything that the replaced function would have called is the original.
// Freestanding.
#pragma once

#include <Python.h>

#include <cstddef>

#include "client/interp/interp.h"

namespace pycds::loader {

// A class of one of importlib's two modules, and the namespace of that module: both are kept for
// the life of the process. False if they are not there; no exception is left set.
inline bool find_importlib_class(const char* module_name, const char* name, PyTypeObject** type,
                                 PyObject** globals) {
    PyObject* modules = PyImport_GetModuleDict();                   // borrowed
    PyObject* module = PyDict_GetItemString(modules, module_name);  // borrowed
    if (module == nullptr || !PyModule_Check(module)) return false;
    PyObject* found = PyDict_GetItemString(PyModule_GetDict(module), name);  // borrowed
    if (found == nullptr || !PyType_Check(found)) return false;
    *globals = Py_NewRef(PyModule_GetDict(module));
    *type = reinterpret_cast<PyTypeObject*>(Py_NewRef(found));
    return true;
}

// Is `object` a Python function defined in the module whose namespace is `globals`?
inline bool is_function_of(PyObject* object, PyObject* globals) {
    return object != nullptr && PyFunction_Check(object) &&
           PyFunction_GET_GLOBALS(object) == globals;
}

// Puts `original` back in the place of `installed`, if that is still there. No exception is left
// set.
inline void restore_method(PyTypeObject* type, PyObject* name, PyObject* installed,
                           PyObject* original) {
    if (type == nullptr || installed == nullptr ||
        PyDict_GetItemWithError(type->tp_dict, name) != installed ||
        PyObject_SetAttr(reinterpret_cast<PyObject*>(type), name, original) != 0) {
        PyErr_Clear();
    }
}

// Calls a plain function as the method of `self` with the arguments of a METH_FASTCALL |
// METH_KEYWORDS call.
inline PyObject* call_method(PyObject* function, PyObject* self, PyObject* const* arguments,
                             Py_ssize_t count, PyObject* keywords) {
    constexpr size_t kUsual = 8;
    const auto passed =
        static_cast<size_t>(count + (keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords)));
    PyObject* few[kUsual];
    PyObject** all = few;
    if (passed >= kUsual) {
        all = static_cast<PyObject**>(PyMem_Malloc((passed + 1) * sizeof *all));
        if (all == nullptr) return PyErr_NoMemory();
    }
    all[0] = self;
    for (size_t i = 0; i < passed; ++i) all[i + 1] = arguments[i];
    PyObject* result = PyObject_Vectorcall(function, all, static_cast<size_t>(count + 1), keywords);
    if (all != few) PyMem_Free(all);
    return result;
}

// The code that a Python function runs, which a program may exchange, too; nullptr for all else.
// Borrowed.
inline PyObject* code_of(PyObject* object) {
    return object != nullptr && PyFunction_Check(object) ? PyFunction_GET_CODE(object) : nullptr;
}

// N functions found by name, in a class or in a module's namespace. References are kept for the
// life of the process.
template <size_t N>
class PinnedFunctions {
  public:
    // Looks the names up in `type` and its bases. False if one is missing or is not a function of
    // the module `globals`; no exception is left set.
    bool pin_methods(PyTypeObject* type, const char* const (&names)[N], PyObject* globals) {
        type_ = type;
        return pin(names, globals);
    }
    // The same in the namespace `globals` itself.
    bool pin_globals(const char* const (&names)[N], PyObject* globals) {
        return pin(names, globals);
    }

    // A look-up in a type is a hit in CPython's method cache: some nanoseconds.
    bool unchanged() const {
        for (size_t i = 0; i < N; ++i) {
            if (look_up(i) != values_[i] || code_of(values_[i]) != codes_[i]) return false;
        }
        return true;
    }

    PyObject* name(size_t i) const { return names_[i]; }
    PyObject* function(size_t i) const { return values_[i]; }

  private:
    bool pin(const char* const (&names)[N], PyObject* globals) {
        globals_ = globals;
        for (size_t i = 0; i < N; ++i) {
            names_[i] = PyUnicode_InternFromString(names[i]);
            if (names_[i] == nullptr) {
                PyErr_Clear();
                return false;
            }
            values_[i] = look_up(i);
            if (!is_function_of(values_[i], globals)) return false;
            Py_INCREF(values_[i]);
            codes_[i] = Py_NewRef(code_of(values_[i]));
        }
        return true;
    }

    PyObject* look_up(size_t i) const {
        return type_ != nullptr ? _PyType_Lookup(type_, names_[i])
                                : PyDict_GetItemWithError(globals_, names_[i]);
    }

    PyTypeObject* type_ = nullptr;
    PyObject* globals_ = nullptr;
    PyObject* names_[N] = {};
    PyObject* values_[N] = {};
    PyObject* codes_[N] = {};
};

// N entries of namespaces. References are kept for the life of the process.
template <size_t N>
class PinnedEntries {
  public:
    bool unchanged() const {
        for (size_t i = 0; i < N; ++i) {
            if (PyDict_GetItemWithError(dicts_[i], names_[i]) != values_[i]) return false;
        }
        return true;
    }

  protected:
    // What is there, borrowed, or nullptr; no exception is left set.
    PyObject* pin(size_t i, const char* name, PyObject* dict) {
        names_[i] = PyUnicode_InternFromString(name);
        dicts_[i] = Py_NewRef(dict);
        PyObject* value = names_[i] == nullptr ? nullptr : PyDict_GetItemWithError(dict, names_[i]);
        if (value == nullptr) PyErr_Clear();
        values_[i] = Py_XNewRef(value);
        return value;
    }

  private:
    PyObject* dicts_[N] = {};
    PyObject* names_[N] = {};
    PyObject* values_[N] = {};
};

// A global of a module: a module that it has imported, a constant.
struct Global {
    const char* name;
    const char* module;  // that it is, or nullptr
};

template <size_t N>
class PinnedGlobals : public PinnedEntries<N> {
  public:
    // False if one is missing or is not the module that it ought to be; no exception is left set.
    bool pin(const Global (&globals)[N], PyObject* dict) {
        PyObject* modules = PyImport_GetModuleDict();  // borrowed
        for (size_t i = 0; i < N; ++i) {
            PyObject* value = PinnedEntries<N>::pin(i, globals[i].name, dict);
            if (value == nullptr) return false;
            if (globals[i].module != nullptr &&
                PyDict_GetItemString(modules, globals[i].module) != value) {
                PyErr_Clear();
                return false;
            }
        }
        return true;
    }
};

struct Builtin {
    const char* module;
    const char* name;
};

template <size_t N>
class PinnedBuiltins : public PinnedEntries<N> {
  public:
    // False if one is missing or is no built-in function; no exception is left set.
    bool pin(const Builtin (&builtins)[N]) {
        PyObject* modules = PyImport_GetModuleDict();  // borrowed
        for (size_t i = 0; i < N; ++i) {
            PyObject* module = PyDict_GetItemString(modules, builtins[i].module);  // borrowed
            PyObject* value =
                module == nullptr || !PyModule_Check(module)
                    ? nullptr
                    : PinnedEntries<N>::pin(i, builtins[i].name, PyModule_GetDict(module));
            if (value == nullptr || !PyCFunction_Check(value)) {
                PyErr_Clear();
                return false;
            }
        }
        return true;
    }
};

}  // namespace pycds::loader
