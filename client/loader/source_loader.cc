#include "client/loader/source_loader.h"

namespace pycds::loader {
namespace {

// Attributes of the loader that the cached path of SourceLoader.get_code goes through, or would
// go through next (Lib/importlib/_bootstrap_external.py). The first kInstanceMethods are looked up
// on the instance.
constexpr const char* kMethodNames[] = {"get_filename",   "path_stats", "get_data",
                                        "source_to_code", "set_data",   "_cache_bytecode"};
constexpr size_t kInstanceMethods = 3;

// Globals of the module that it calls, and that those call.
constexpr const char* kFunctionNames[] = {
    "cache_from_source",  "_classify_pyc",     "_validate_timestamp_pyc",
    "_validate_hash_pyc", "_compile_bytecode", "_path_stat",
    "_check_name",        "_path_split",       "_path_join",
    "_unpack_uint32"};

// What else they use of it: modules, and what names the .pyc and tells whether it is valid.
constexpr Global kGlobals[] = {{"_os", "posix"},
                               {"_io", "_io"},
                               {"marshal", "marshal"},
                               {"_imp", "_imp"},
                               {"_bootstrap", "_frozen_importlib"},
                               {"sys", "sys"},
                               {"MAGIC_NUMBER", nullptr},
                               {"_PYCACHE", nullptr},
                               {"_OPT", nullptr},
                               {"BYTECODE_SUFFIXES", nullptr}};

// Tells of each step.
constexpr const char* kMessageName[] = {"_verbose_message"};

// Built-in functions that those call. Who replaces one of them (a virtual file system, a tracer of
// imports) wants to be called. open_code() imports _io.
constexpr Builtin kBuiltins[] = {{"posix", "stat"},
                                 {"marshal", "loads"},
                                 {"_io", "open_code"},
                                 {"_imp", "_fix_co_filename"},
                                 {"builtins", "__import__"}};

PyObject* intern(const char* text) {
    return PyUnicode_InternFromString(text);
}

}  // namespace

const char* SourceLoader::inspect() {
    PyObject* globals = nullptr;
    if (!find_importlib_class("_frozen_importlib_external", "SourceFileLoader", &type_, &globals))
        return "importlib-missing";

    get_code_name_ = intern("get_code");
    name_name_ = intern("name");
    path_name_ = intern("path");
    cache_tag_name_ = intern("cache_tag");
    if (get_code_name_ == nullptr || name_name_ == nullptr || path_name_ == nullptr ||
        cache_tag_name_ == nullptr) {
        return "no-memory";
    }
    original_ = _PyType_Lookup(type_, get_code_name_);
    if (!is_function_of(original_, globals)) return "importlib-patched";
    Py_INCREF(original_);
    PyObject* bootstrap = PyImport_AddModule("_frozen_importlib");  // borrowed
    if (bootstrap == nullptr || !methods_.pin_methods(type_, kMethodNames, globals) ||
        !functions_.pin_globals(kFunctionNames, globals) || !globals_.pin(kGlobals, globals) ||
        !message_.pin_globals(kMessageName, PyModule_GetDict(bootstrap)) ||
        !builtins_.pin(kBuiltins)) {
        PyErr_Clear();
        return "importlib-patched";
    }

    flags_ = PySys_GetObject("flags");
    PyObject* implementation = PySys_GetObject("implementation");
    if (flags_ == nullptr || implementation == nullptr) return "sys-patched";
    Py_INCREF(flags_);
    cache_tag_ = PyObject_GetAttr(implementation, cache_tag_name_);
    if (cache_tag_ == nullptr || !PyUnicode_CheckExact(cache_tag_) ||
        PyUnicode_CompareWithASCIIString(cache_tag_, PyImport_GetMagicTag()) != 0) {
        PyErr_Clear();
        return "sys-patched";
    }
    return nullptr;
}

// The class in whose namespace the original stands: what overrides or replaces it goes on doing so.
PyTypeObject* SourceLoader::defining_type() const {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(type_->tp_mro); ++i) {
        auto* base = reinterpret_cast<PyTypeObject*>(PyTuple_GET_ITEM(type_->tp_mro, i));
        if (base->tp_dict != nullptr &&
            PyDict_GetItemWithError(base->tp_dict, get_code_name_) == original_) {
            return base;
        }
    }
    return nullptr;
}

const char* SourceLoader::install(PyMethodDef* definition) {
    installed_in_ = defining_type();
    installed_ = installed_in_ == nullptr ? nullptr : PyDescr_NewMethod(installed_in_, definition);
    if (installed_ == nullptr || PyObject_SetAttr(reinterpret_cast<PyObject*>(installed_in_),
                                                  get_code_name_, installed_) != 0) {
        PyErr_Clear();
        return "importlib-patched";
    }
    return nullptr;
}

void SourceLoader::uninstall() {
    restore_method(installed_in_, get_code_name_, installed_, original_);
}

bool SourceLoader::unchanged() const {
    if (!methods_.unchanged() || !functions_.unchanged() || !globals_.unchanged() ||
        !message_.unchanged() || !builtins_.unchanged()) {
        return false;
    }
    // The name of the .pyc depends on these (cache_from_source).
    if (PySys_GetObject("pycache_prefix") != Py_None) return false;
    if (PySys_GetObject("flags") != flags_) return false;
    PyObject* implementation = PySys_GetObject("implementation");
    if (implementation == nullptr) return false;
    PyObject* tag = PyObject_GetAttr(implementation, cache_tag_name_);
    const bool same = tag == cache_tag_;
    Py_XDECREF(tag);
    if (!same) PyErr_Clear();
    return same;
}

bool SourceLoader::accepts(PyObject* loader, PyObject* name, PyObject** path) const {
    if (Py_TYPE(loader) != type_ || !PyUnicode_CheckExact(name)) return false;
    for (size_t i = 0; i < kInstanceMethods; ++i) {
        PyObject* method = PyObject_GetAttr(loader, methods_.name(i));
        const bool genuine = method != nullptr && PyMethod_Check(method) &&
                             PyMethod_GET_FUNCTION(method) == methods_.function(i) &&
                             PyMethod_GET_SELF(method) == loader;
        Py_XDECREF(method);
        if (!genuine) {
            PyErr_Clear();
            return false;
        }
    }
    PyObject* own_name = PyObject_GetAttr(loader, name_name_);
    const bool responsible = own_name != nullptr && PyUnicode_CheckExact(own_name) &&
                             PyUnicode_Compare(own_name, name) == 0;
    Py_XDECREF(own_name);
    PyObject* own_path = responsible ? PyObject_GetAttr(loader, path_name_) : nullptr;
    if (own_path == nullptr || !PyUnicode_CheckExact(own_path)) {
        Py_XDECREF(own_path);
        PyErr_Clear();
        return false;
    }
    *path = own_path;
    return true;
}

bool SourceLoader::hash_pycs_are_checked() const {
    PyObject* module = PyImport_AddModule("_imp");  // borrowed
    PyObject* mode =
        module == nullptr ? nullptr : PyObject_GetAttrString(module, "check_hash_based_pycs");
    const bool unchecked = mode != nullptr && PyUnicode_Check(mode) &&
                           PyUnicode_CompareWithASCIIString(mode, "always") != 0;
    Py_XDECREF(mode);
    PyErr_Clear();
    return !unchecked;
}

}  // namespace pycds::loader
