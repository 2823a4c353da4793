// FileFinder.find_spec in C++: the same steps on the same state of the same object (path,
// _path_mtime, _path_cache, _loaders), the same system calls, no archive. What it does not do
// itself (filling the cache, namespace packages, paths that are not ASCII) the original does.
// Freestanding.
#pragma once

#include <Python.h>

#include <cstdint>

#include "client/loader/pinned.h"

namespace pycds::loader {

class FinderServer {
  public:
    // Takes the place of FileFinder.find_spec. Returns nullptr, or why not; then nothing is
    // replaced. No exception is left set.
    const char* install();

    // Puts the original back, unless something else is there by now.
    void uninstall();

    // Finds done here, not by the original.
    uint64_t found() const { return found_; }

    // From now on everything goes to stock (finalisation).
    void disarm() { armed_ = false; }

  private:
    static PyObject* find_spec(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                               PyObject* keywords);
    static PyMethodDef definition_;

    bool may_serve(PyObject* finder, PyObject* fullname) const;
    // True: *result is the answer (a spec, None, or nullptr with an exception). False: the original
    // must do it.
    bool serve(PyObject* finder, PyObject* fullname, PyObject* target, PyObject** result);

    bool armed_ = false;
    uint64_t found_ = 0;
    PyTypeObject* type_ = nullptr;
    PyObject* original_ = nullptr;
    PyObject* installed_ = nullptr;
    PyObject* own_name_ = nullptr;
    PyObject* attributes_[4] = {};
    PinnedFunctions<2> methods_;
    PinnedFunctions<7> functions_;
    PinnedGlobals<3> globals_;
    PinnedFunctions<1> message_;
    PinnedBuiltins<1> builtins_;
    PyObject* flags_ = nullptr;
};

FinderServer& finder_server();

}  // namespace pycds::loader
