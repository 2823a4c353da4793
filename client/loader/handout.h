// Making one module of an image fit for this process: canonical strings and frozensets.
// Freestanding.
#pragma once

#include <Python.h>

#include "client/loader/mapped_image.h"

namespace pycds::loader {

// Interns the strings of a root's module, redirecting its slots where the process already had an
// equal string, and fills its frozensets. Returns the module's code object (a new reference), or nullptr without an exception if memory ran out; then the module must come
// from stock. Call with the GIL held, at most once per root.
PyObject* prepare_module(MappedImage& image, const image::RootRecord& root);

}  // namespace pycds::loader
