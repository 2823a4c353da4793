// Making image strings and the process's interned strings one. docs/interning.md has the argument.
// Freestanding.
#pragma once

#include <Python.h>

#include "client/loader/mapped_image.h"

namespace pycds::loader {

class Interning {
  public:
    // When the client starts, before any program runs: finds and checks the dict of interned
    // strings, and makes the startup strings of `image` (the first that the process maps) the
    // canonical ones. Without the dict nothing happens, which is as right and dirties more pages.
    void begin(const MappedImage& image);

    // The process's canonical string equal to `string`, a string of an image that is not marked as
    // interned: `string` itself, unless an equal one was there before. Borrowed; never freed.
    PyObject* canonical(PyObject* string) const;

  private:
    void find_dict(const MappedImage& image);
    void take_over(PyObject* string) const;

    PyObject* dict_ = nullptr;  // borrowed from the interpreter
};

// The one of this process.
Interning& interning();

}  // namespace pycds::loader
