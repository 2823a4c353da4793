// The extension module `_pycds`, and the same file under the name `sitecustomize`, which is how
// `pycdsctl env` switches the client on without installing anything.
//
// The only exception barrier: nothing below here raises.
#include <Python.h>

#include <cstdint>
#include <initializer_list>

#include "client/ext/start.h"
#include "client/interp/internals.h"
#include "client/loader/find_spec.h"
#include "client/loader/get_code.h"
#include "client/loader/import_scope.h"
#include "client/loader/patterns.h"

namespace pycds::ext {
namespace {

// Steals `value`; false (with an exception) if it is null or cannot be stored.
bool put(PyObject* dict, const char* key, PyObject* value) {
    if (value == nullptr) return false;
    const bool stored = PyDict_SetItemString(dict, key, value) == 0;
    Py_DECREF(value);
    return stored;
}

PyObject* image_stats(const loader::MappedImage& image) {
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:I,s:s}", "base", static_cast<unsigned long long>(image.base()), "size",
        static_cast<unsigned long long>(image.size()), "generation",
        static_cast<unsigned long long>(image.generation()), "modules",
        static_cast<unsigned>(image.root_count()), "domain",
        image.domain() == image::DomainKind::kSystem ? "system" : "user");
}

PyObject* images_stats(uint64_t* bytes_mapped) {
    loader::CodeServer& server = loader::code_server();
    PyObject* list = PyList_New(0);
    for (size_t i = 0; list != nullptr && i < server.image_count(); ++i) {
        *bytes_mapped += server.images()[i].size();
        PyObject* entry = image_stats(server.images()[i]);
        if (entry == nullptr || PyList_Append(list, entry) != 0) Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

PyObject* misses_stats() {
    PyObject* dict = PyDict_New();
    for (unsigned i = 0; dict != nullptr && i < static_cast<unsigned>(loader::Miss::kCount); ++i) {
        const auto miss = static_cast<loader::Miss>(i);
        const uint64_t count = loader::code_server().misses(miss);
        if (count != 0 && !put(dict, loader::miss_name(miss), PyLong_FromUnsignedLongLong(count))) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

PyObject* stats(PyObject*, PyObject*) {
    if (pycds_in_main_interpreter()) attach_now();
    PyObject* dict = PyDict_New();
    if (dict == nullptr) return nullptr;
    uint64_t bytes_mapped = 0;
    const bool ok =
        put(dict, "attached", PyBool_FromLong(refusal() == nullptr)) &&
        put(dict, "reason",
            refusal() == nullptr ? Py_NewRef(Py_None) : PyUnicode_FromString(refusal())) &&
        put(dict, "images", images_stats(&bytes_mapped)) &&
        put(dict, "bytes_mapped", PyLong_FromUnsignedLongLong(bytes_mapped)) &&
        put(dict, "served", PyLong_FromUnsignedLongLong(loader::code_server().served())) &&
        put(dict, "misses", misses_stats()) &&
        put(dict, "found", PyLong_FromUnsignedLongLong(loader::finder_server().found())) &&
        put(dict, "patterns",
            PyLong_FromUnsignedLongLong(loader::pattern_server().served())) &&
        put(dict, "pages_given_back",
            PyLong_FromUnsignedLongLong(loader::import_scope().pages_given_back()));
    if (!ok) Py_CLEAR(dict);
    return dict;
}

PyObject* give_back(PyObject*, PyObject*) {
    if (refusal() != nullptr || !pycds_in_main_interpreter()) return PyLong_FromLong(0);
    return PyLong_FromUnsignedLongLong(loader::import_scope().scrub_now());
}

int exec_pycds(PyObject*) {
    if (pycds_in_main_interpreter()) start_client();
    return 0;
}

PyMethodDef methods[] = {
    {"stats", stats, METH_NOARGS,
     "stats()\n--\n\nWhat the pycds client did in this process: attached, reason (if not), images,\n"
     "bytes_mapped, served (modules), misses (by reason), found (modules found in C++),\n"
     "patterns (regular expressions not compiled anew), pages_given_back."},
    {"give_back", give_back, METH_NOARGS,
     "give_back()\n--\n\nMake pages of the images that this process has written, and does not need to have\n"
     "written, shared again. Happens by itself after large imports. Returns the number of pages."},
    {nullptr, nullptr, 0, nullptr},
};

#ifdef Py_mod_multiple_interpreters
#define PYCDS_MULTIPLE_INTERPRETERS \
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#else
#define PYCDS_MULTIPLE_INTERPRETERS
#endif

PyModuleDef_Slot pycds_slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(exec_pycds)},
    PYCDS_MULTIPLE_INTERPRETERS{0, nullptr},
};

// The module is one of the first that the interpreter drops when it ends.
void free_pycds(void*) {
    if (pycds_is_finalizing() && pycds_in_main_interpreter()) loader::import_scope().tear_down();
}

PyModuleDef pycds_definition = {
    PyModuleDef_HEAD_INIT, "_pycds", "The pycds client of this process.", 0, methods, pycds_slots,
    nullptr,               nullptr,  free_pycds,
};

// What `import _pycds` would do now, while this file's directory is on the path, less the search: the
// module is in the same file as `sitecustomize`. New reference, or nullptr with an exception.
PyObject* load_pycds(PyObject* sitecustomize) {
    PyObject* loader = nullptr;
    PyObject* loaded = nullptr;
    PyObject* spec = nullptr;
    PyObject* own_spec = PyObject_GetAttrString(sitecustomize, "__spec__");
    PyObject* own_file = PyModule_GetFilenameObject(sitecustomize);
    PyObject* own_loader = PyObject_GetAttrString(sitecustomize, "__loader__");
    PyObject* from = PyUnicode_FromString("/sitecustomize.");
    PyObject* to = PyUnicode_FromString("/_pycds.");
    PyObject* file = nullptr;
    if (own_spec != nullptr && own_file != nullptr && own_loader != nullptr && from != nullptr &&
        to != nullptr) {
        file = PyUnicode_Replace(own_file, from, to, -1);
    }
    if (file != nullptr) {
        loader = PyObject_CallFunction(reinterpret_cast<PyObject*>(Py_TYPE(own_loader)), "sO",
                                       "_pycds", file);
    }
    if (loader != nullptr) {
        spec = PyObject_CallFunction(reinterpret_cast<PyObject*>(Py_TYPE(own_spec)), "sO", "_pycds",
                                     loader);
    }
    if (spec != nullptr && PyObject_SetAttrString(spec, "origin", file) == 0 &&
        PyObject_SetAttrString(spec, "has_location", Py_True) == 0) {
        loaded = PyModule_FromDefAndSpec(&pycds_definition, spec);
    }
    if (loaded != nullptr &&
        (PyObject_SetAttrString(loaded, "__spec__", spec) != 0 ||
         PyObject_SetAttrString(loaded, "__loader__", loader) != 0 ||
         PyObject_SetAttrString(loaded, "__file__", file) != 0 ||
         PyModule_AddStringConstant(loaded, "__package__", "") != 0 ||
         PyDict_SetItemString(PyImport_GetModuleDict(), "_pycds", loaded) != 0 ||
         PyModule_ExecDef(loaded, &pycds_definition) != 0)) {
        Py_CLEAR(loaded);
    }
    for (PyObject* object : {own_spec, own_file, own_loader, from, to, file, loader, spec}) {
        Py_XDECREF(object);
    }
    return loaded;
}

// The directory of this file stands first on sys.path only to be found as sitecustomize. Once that
// has happened nothing may show it: sys.path and the importer cache are as without it, and the
// machine's own sitecustomize, if there is one, runs as it would have.
int leave_path(PyObject* module) {
    PyObject* file = PyModule_GetFilenameObject(module);
    if (file == nullptr) return -1;
    const Py_ssize_t length = PyUnicode_GET_LENGTH(file);
    const Py_ssize_t slash = PyUnicode_FindChar(file, '/', 0, length, -1);
    PyObject* directory = slash > 0 ? PyUnicode_Substring(file, 0, slash) : nullptr;
    Py_DECREF(file);
    if (directory == nullptr) return PyErr_Occurred() ? -1 : 0;
    int status = 0;
    PyObject* path = PySys_GetObject("path");  // borrowed
    if (path != nullptr && PyList_Check(path)) {
        const Py_ssize_t at = PySequence_Index(path, directory);
        if (at >= 0) {
            status = PySequence_DelItem(path, at);
        } else {
            PyErr_Clear();
        }
    }
    PyObject* cache = PySys_GetObject("path_importer_cache");  // borrowed
    if (status == 0 && cache != nullptr && PyDict_Check(cache) &&
        PyDict_DelItem(cache, directory) != 0) {
        PyErr_Clear();
    }
    Py_DECREF(directory);
    return status;
}

int exec_sitecustomize(PyObject* module) {
    PyObject* client = load_pycds(module);
    if (client == nullptr) PyErr_Clear();
    Py_XDECREF(client);
    if (leave_path(module) != 0) PyErr_Clear();

    PyObject* modules = PyImport_GetModuleDict();  // borrowed
    if (PyDict_DelItemString(modules, "sitecustomize") != 0) PyErr_Clear();
    // A ModuleNotFoundError for sitecustomize is what site expects where there is none; any other
    // error is the real one's.
    PyObject* real = PyImport_ImportModule("sitecustomize");
    if (real == nullptr) return -1;
    Py_DECREF(real);
    return 0;
}

PyModuleDef_Slot sitecustomize_slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(exec_sitecustomize)},
    PYCDS_MULTIPLE_INTERPRETERS{0, nullptr},
};

PyModuleDef sitecustomize_definition = {
    PyModuleDef_HEAD_INIT, "sitecustomize", nullptr, 0, nullptr, sitecustomize_slots,
    nullptr,               nullptr,         nullptr,
};

}  // namespace
}  // namespace pycds::ext

PyMODINIT_FUNC PyInit__pycds(void) { return PyModuleDef_Init(&pycds::ext::pycds_definition); }

PyMODINIT_FUNC PyInit_sitecustomize(void) {
    return PyModuleDef_Init(&pycds::ext::sitecustomize_definition);
}
