// What stock importlib looks like in this process, and whether it still does. Serving is right only
// while everything that SourceFileLoader.get_code would call is the original. Freestanding.
#pragma once

#include <Python.h>

#include "client/loader/pinned.h"

namespace pycds::loader {

class SourceLoader {
  public:
    // Finds _frozen_importlib_external's SourceFileLoader and remembers the functions that its
    // get_code relies on. Returns nullptr, or why serving is impossible here ("importlib-patched",
    // ...). References are kept for the life of the process. No exception is left set.
    const char* inspect();

    // Puts a function (METH_FASTCALL | METH_KEYWORDS) in the place of get_code, in the class that
    // defines it (SourceLoader), as a method descriptor, so that binding and inspect work.
    const char* install(PyMethodDef* definition);

    // Puts the original back, unless something else is there by now.
    void uninstall();

    // Is everything still as inspect() found it?
    bool unchanged() const;

    // Is `loader` exactly a SourceFileLoader without attributes that shadow its methods, and
    // responsible for `name`? On true, `*path` is its path, an exact str (new reference).
    bool accepts(PyObject* loader, PyObject* name, PyObject** path) const;

    // The original get_code, a plain function (borrowed).
    PyObject* original() const { return original_; }

    // Unchecked hash-based .pyc files are taken unless --check-hash-based-pycs=always (PEP 552).
    bool hash_pycs_are_checked() const;

  private:
    PyTypeObject* defining_type() const;

    PyTypeObject* type_ = nullptr;
    PyObject* original_ = nullptr;
    PyTypeObject* installed_in_ = nullptr;
    PyObject* installed_ = nullptr;
    PinnedFunctions<6> methods_;
    PinnedFunctions<10> functions_;
    PinnedGlobals<10> globals_;
    PinnedFunctions<1> message_;
    PinnedBuiltins<5> builtins_;
    PyObject* get_code_name_ = nullptr;
    PyObject* name_name_ = nullptr;
    PyObject* path_name_ = nullptr;
    PyObject* flags_ = nullptr;
    PyObject* cache_tag_ = nullptr;
    PyObject* cache_tag_name_ = nullptr;
};

}  // namespace pycds::loader
