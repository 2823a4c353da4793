// The extension module `_pycds`, and the same file under the name `sitecustomize`: the way in for
// `pycdsctl enable` (a link in the directory of the standard library) and for `pycdsctl env` (the
// client's directory on PYTHONPATH).
//
// The only exception barrier: nothing below here raises.
#include <Python.h>

#include <cstdint>
#include <initializer_list>

#include "client/ext/start.h"
#include "client/ext/way_in.h"
#include "client/interp/internals.h"
#include "client/interp/interp.h"
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
    return Py_BuildValue("{s:K,s:K,s:K,s:I,s:s,s:O}", "base",
                         static_cast<unsigned long long>(image.base()), "size",
                         static_cast<unsigned long long>(image.size()), "generation",
                         static_cast<unsigned long long>(image.generation()), "modules",
                         static_cast<unsigned>(image.root_count()), "domain",
                         image.domain() == image::DomainKind::kSystem ? "system" : "user",
                         "relocated", image.relocation().moved() ? Py_True : Py_False);
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

PyObject* attach_stats() {
    const AttachTimes& times = attach_times();
    return Py_BuildValue("{s:d,s:d,s:d}", "ask", static_cast<double>(times.ask_ns) / 1000, "map",
                         static_cast<double>(times.map_ns) / 1000, "intern",
                         static_cast<double>(times.intern_ns) / 1000);
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
        put(dict, "attach_us", attach_stats()) &&
        put(dict, "images", images_stats(&bytes_mapped)) &&
        put(dict, "bytes_mapped", PyLong_FromUnsignedLongLong(bytes_mapped)) &&
        put(dict, "layout", PyUnicode_FromString(interpreter_layout())) &&
        put(dict, "served", PyLong_FromUnsignedLongLong(loader::code_server().served())) &&
        put(dict, "misses", misses_stats()) &&
        put(dict, "found", PyLong_FromUnsignedLongLong(loader::finder_server().found())) &&
        put(dict, "patterns", PyLong_FromUnsignedLongLong(loader::pattern_server().served())) &&
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
     "stats()\n--\n\nWhat the pycds client did in this process: attached, reason (if not), "
     "attach_us\n"
     "(microseconds, by part), images, bytes_mapped, layout (of the interpreter: fixed, common, "
     "random), served (modules), misses (by reason),\n"
     "found (modules found in C++), patterns (regular expressions not compiled anew), "
     "pages_given_back."},
    {"give_back", give_back, METH_NOARGS,
     "give_back()\n--\n\nMake pages of the images that this process has written, and does not need "
     "to have\n"
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
    PyModuleDef_HEAD_INIT,
    "_pycds",
    "The pycds client of this process.",
    0,
    methods,
    pycds_slots,
    nullptr,
    nullptr,
    free_pycds,
};

// What `import _pycds` would do if the directory of `file` were on the path: the module is in the
// same file as `sitecustomize`. New reference, or nullptr with an exception.
PyObject* load_pycds(PyObject* sitecustomize, PyObject* file) {
    PyObject* loader = nullptr;
    PyObject* loaded = nullptr;
    PyObject* spec = nullptr;
    PyObject* own_spec = PyObject_GetAttrString(sitecustomize, "__spec__");
    PyObject* own_loader = PyObject_GetAttrString(sitecustomize, "__loader__");
    PyObject* library = own_spec != nullptr && own_loader != nullptr ? library_file(file) : nullptr;
    if (library != nullptr) {
        loader = PyObject_CallFunction(reinterpret_cast<PyObject*>(Py_TYPE(own_loader)), "sO",
                                       "_pycds", library);
    }
    if (loader != nullptr) {
        spec = PyObject_CallFunction(reinterpret_cast<PyObject*>(Py_TYPE(own_spec)), "sO", "_pycds",
                                     loader);
    }
    if (spec != nullptr && PyObject_SetAttrString(spec, "origin", library) == 0 &&
        PyObject_SetAttrString(spec, "has_location", Py_True) == 0) {
        loaded = PyModule_FromDefAndSpec(&pycds_definition, spec);
    }
    if (loaded != nullptr &&
        (PyObject_SetAttrString(loaded, "__spec__", spec) != 0 ||
         PyObject_SetAttrString(loaded, "__loader__", loader) != 0 ||
         PyObject_SetAttrString(loaded, "__file__", library) != 0 ||
         PyModule_AddStringConstant(loaded, "__package__", "") != 0 ||
         PyDict_SetItemString(PyImport_GetModuleDict(), "_pycds", loaded) != 0 ||
         PyModule_ExecDef(loaded, &pycds_definition) != 0)) {
        Py_CLEAR(loaded);
    }
    for (PyObject* object : {own_spec, own_loader, library, loader, spec}) Py_XDECREF(object);
    return loaded;
}

int exec_sitecustomize(PyObject* module) {
    PyObject* file = PyModule_GetFilenameObject(module);
    if (file == nullptr) return -1;
    // Two ways in may lead here one after the other; the first one's client is at work.
    if (PyDict_GetItemString(PyImport_GetModuleDict(), "_pycds") == nullptr) {
        PyObject* client = load_pycds(module, file);
        if (client == nullptr) PyErr_Clear();
        Py_XDECREF(client);
    }
    const int status = import_stock_sitecustomize(file);
    Py_DECREF(file);
    return status;
}

PyModuleDef_Slot sitecustomize_slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(exec_sitecustomize)},
    PYCDS_MULTIPLE_INTERPRETERS{0, nullptr},
};

PyModuleDef sitecustomize_definition = {
    PyModuleDef_HEAD_INIT, "sitecustomize", nullptr, 0,       nullptr,
    sitecustomize_slots,   nullptr,         nullptr, nullptr,
};

}  // namespace
}  // namespace pycds::ext

// Loaded into an older minor by a path that should not lead here: it must not stumble over a slot that it
// does not know, since everybody sees what import says of that.
static void leave_out_unknown_slots() {
#ifdef Py_mod_multiple_interpreters
    if (Py_Version >= 0x030c0000) return;  // which knows it
    pycds::ext::pycds_slots[1] = {0, nullptr};
    pycds::ext::sitecustomize_slots[1] = {0, nullptr};
#endif
}

PyMODINIT_FUNC PyInit__pycds(void) {
    leave_out_unknown_slots();
    return PyModuleDef_Init(&pycds::ext::pycds_definition);
}

PyMODINIT_FUNC PyInit_sitecustomize(void) {
    leave_out_unknown_slots();
    return PyModuleDef_Init(&pycds::ext::sitecustomize_definition);
}
