// Making image strings and the process's interned strings one. docs/interning.md has the argument.
// Freestanding.
#pragma once

#include <Python.h>

#include <cstddef>

#include "client/loader/mapped_image.h"

namespace pycds::loader {

class Interning {
  public:
    // With the first module that is asked for: finds and checks the dict of interned strings, and makes the
    // startup strings of the first image, unless that has to be relocated, the canonical ones, but for
    // those that the program may hold by now because they are constants of the code that is running. The images stay where they are until the process ends. Without
    // the dict every string is interned by CPython's own function, which is as right and dirties more pages.
    void begin(const MappedImage* images, size_t count);

    // Before strings of a module are made canonical.
    void make_room() const;

    // The process's canonical string equal to `string`, an interned string of an image: `string`
    // itself, unless an equal one was there before. Borrowed; never freed.
    PyObject* canonical(PyObject* string) const;

    // The same in two steps, of which only the second needs `string` to be right (Relocator): what the
    // process has by now, or nullptr; and to make `string` the canonical one if it has none.
    PyObject* find(PyObject* string) const;
    PyObject* enter(PyObject* string) const;

    // Before CPython walks the dict at its own end. Later interning leaves images alone.
    void end();

  private:
    void find_dict(const MappedImage& image);
    bool call_back_at_end();
    void make_canonical(PyObject* string, PyObject* seen) const;
    void rename(PyCodeObject* code) const;
    void rename(PyObject* names) const;

    PyObject* dict_ = nullptr;  // borrowed from the interpreter; general, and written to
    PyObject* readable_ = nullptr;  // the same, or one that is as CPython made it
    const MappedImage* images_ = nullptr;
    size_t image_count_ = 0;
};

// The one of this process.
Interning& interning();

}  // namespace pycds::loader
