// Code that runs once, of images that have to be relocated. In place it would become the process's own
// until the end, though nobody needs it any more when a module or class has been made; so the process gets
// it as unmarshalling would make it, in objects that are freed then, and the image's pages stay shared.
// Freestanding.
#pragma once

#include <Python.h>

#include <cstdint>

#include "client/loader/mapped_image.h"

namespace pycds::loader {

// The code object at `offset` of the image's run-once region, with all that is there too, made anew (a new
// reference). What it refers to outside is made right and canonical before. nullptr without an
// exception: out of memory, or the image is not what it seems. Call with the GIL held; may collect garbage.
PyObject* copy_run_once(MappedImage& image, uint64_t offset);

}  // namespace pycds::loader
