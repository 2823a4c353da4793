// Making image strings the canonical ones of this process. docs/interning.md has the argument.
// Freestanding.
#pragma once

#include <Python.h>

#include "client/loader/mapped_image.h"

namespace pycds::loader {

class Interning {
  public:
    // Finds and checks the dict of interned strings. Without it the process falls back to
    // PyUnicode_InternInPlace(), which is as right and dirties more pages.
    void begin(const MappedImage& image);

    // The process's canonical string equal to `string`, a string of an image that is not marked as
    // interned: `string` itself, but for the fallback where an equal one existed, and where memory
    // ran out. Borrowed; never freed.
    PyObject* canonical(PyObject* string) const;

  private:
    PyObject* dict_ = nullptr;  // borrowed from the interpreter
};

}  // namespace pycds::loader
