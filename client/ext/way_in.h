// How this file came to be imported as `sitecustomize`, and what is imported after it.
// Freestanding.
#pragma once

#include <Python.h>

namespace pycds::ext {

// The file that `_pycds` is in, for its __file__, where `file` is what the import system called
// this one under the name sitecustomize: beside it in a directory of the client, else what the link
// leads to. New reference, or nullptr with an exception.
PyObject* library_file(PyObject* file);

// Imports the `sitecustomize` that there would be without this one, which was loaded from `file`.
// It takes this one's place in sys.modules. Afterwards sys.path, sys.path_importer_cache and
// sys.meta_path are as stock. -1 with an exception: that of the real one, or the
// ModuleNotFoundError that site expects where there is none.
int import_stock_sitecustomize(PyObject* file);

}  // namespace pycds::ext
