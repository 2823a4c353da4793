#include "client/loader/find_spec.h"

#include <sys/stat.h>

#include <cstring>

#include "client/interp/import_rules.h"
#include "client/interp/internals.h"

namespace pycds::loader {
namespace {

constinit FinderServer server;

constexpr const char* kMethodNames[] = {"_get_spec", "_fill_cache"};
constexpr size_t kGetSpec = 0;
constexpr const char* kFunctionNames[] = {
    "_path_stat",  "_path_join",        "_path_isfile",           "_path_isdir",
    "_relax_case", "_path_is_mode_type", "spec_from_file_location"};
constexpr size_t kRelaxCase = 4;
constexpr Global kGlobals[] = {
    {"_os", "posix"}, {"_bootstrap", "_frozen_importlib"}, {"sys", "sys"}};
constexpr const char* kMessageName[] = {"_verbose_message"};
constexpr Builtin kBuiltins[] = {{"posix", "stat"}};

constexpr const char* kAttributeNames[] = {"path", "_path_mtime", "_path_cache", "_loaders"};
enum Attribute { kPath, kMtime, kCache, kLoaders, kAttributes };

// PATH_MAX: a longer one is the original's to fail on.
constexpr size_t kMaxPath = 4096;

// The state of a finder, owned while one find lasts.
struct State {
    PyObject* values[kAttributes] = {};

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
        for (PyObject* value : values) Py_XDECREF(value);
    }
};

// An ASCII string without NUL; nullptr for anything else. Borrowed.
const char* plain_text(PyObject* object, size_t* size) {
    if (!PyUnicode_CheckExact(object) || !PyUnicode_IS_COMPACT_ASCII(object)) return nullptr;
    const char* text = reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(object));
    *size = static_cast<size_t>(PyUnicode_GET_LENGTH(object));
    return std::memchr(text, '\0', *size) == nullptr ? text : nullptr;
}

// A path under construction; too long is remembered.
struct PathBuffer {
    char text[kMaxPath];
    size_t size = 0;
    bool overflow = false;

    void append(const char* more, size_t more_size) {
        if (more_size >= sizeof text - size) {
            overflow = true;
            return;
        }
        std::memcpy(text + size, more, more_size);
        size += more_size;
        text[size] = '\0';
    }
    PyObject* to_str() const {
        return PyUnicode_FromStringAndSize(text, static_cast<Py_ssize_t>(size));
    }
};

bool has_mode(const PathBuffer& path, mode_t kind) {
    struct stat st {};
    PyThreadState* thread = PyEval_SaveThread();
    const int status = stat(path.text, &st);
    PyEval_RestoreThread(thread);
    return status == 0 && (st.st_mode & S_IFMT) == kind;
}

// _loaders: a list of (suffix, loader class), as FileFinder.__init__ makes it, of suffixes that
// can be put together here. As a tuple in its place, because another thread could change the list
// while the file system is asked.
bool take_loaders(PyObject** loaders) {
    if (!PyList_CheckExact(*loaders)) return false;
    PyObject* snapshot = PyList_AsTuple(*loaders);
    if (snapshot == nullptr) {
        PyErr_Clear();
        return false;
    }
    Py_SETREF(*loaders, snapshot);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(snapshot); ++i) {
        PyObject* entry = PyTuple_GET_ITEM(snapshot, i);
        size_t size = 0;
        if (!PyTuple_CheckExact(entry) || PyTuple_GET_SIZE(entry) != 2 ||
            plain_text(PyTuple_GET_ITEM(entry, 0), &size) == nullptr) {
            return false;
        }
    }
    return true;
}

// Is the directory's time the one for which the cache was filled? Both sides are what
// os.stat().st_mtime makes of it.
bool cache_is_fresh(const PathBuffer& directory, PyObject* cached_mtime) {
    if (!PyFloat_CheckExact(cached_mtime)) return false;
    struct stat st {};
    PyThreadState* thread = PyEval_SaveThread();
    const int status = stat(directory.text, &st);
    PyEval_RestoreThread(thread);
    return status == 0 &&
           interp::importlib_mtime_double(st.st_mtim) == PyFloat_AS_DOUBLE(cached_mtime);
}

// 1: in the cache; 0: not; -1: an exception is set.
int cached(PyObject* cache, const char* tail, size_t tail_size, const char* suffix,
           size_t suffix_size) {
    PathBuffer name;
    name.append(tail, tail_size);
    name.append(suffix, suffix_size);
    PyObject* key = name.overflow ? nullptr : name.to_str();
    if (key == nullptr) return -1;
    const int answer = PySet_Contains(cache, key);
    Py_DECREF(key);
    return answer;
}

}  // namespace

FinderServer& finder_server() {
    return server;
}

PyMethodDef FinderServer::definition_ = {
    "find_spec",
    reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&FinderServer::find_spec)),
    METH_FASTCALL | METH_KEYWORDS,
    "find_spec($self, fullname, target=None)\n--\n\n"
    "Try to find a spec for the specified module.\n\n"
    "Returns the matching spec, or None if not found.\n",
};

const char* FinderServer::install() {
    static_assert(sizeof kAttributeNames / sizeof *kAttributeNames == kAttributes);
    PyObject* globals = nullptr;
    if (!find_importlib_class("_frozen_importlib_external", "FileFinder", &type_, &globals))
        return "importlib-missing";
    for (size_t i = 0; i < kAttributes; ++i) {
        attributes_[i] = PyUnicode_InternFromString(kAttributeNames[i]);
        if (attributes_[i] == nullptr) {
            PyErr_Clear();
            return "no-memory";
        }
    }
    PyObject* name = PyUnicode_InternFromString("find_spec");
    if (name == nullptr) {
        PyErr_Clear();
        return "no-memory";
    }
    original_ = _PyType_Lookup(type_, name);
    PyObject* bootstrap = PyImport_AddModule("_frozen_importlib");  // borrowed
    flags_ = PySys_GetObject("flags");
    if (!is_function_of(original_, globals) || bootstrap == nullptr || flags_ == nullptr ||
        !methods_.pin_methods(type_, kMethodNames, globals) ||
        !functions_.pin_globals(kFunctionNames, globals) || !globals_.pin(kGlobals, globals) ||
        !message_.pin_globals(kMessageName, PyModule_GetDict(bootstrap)) ||
        !builtins_.pin(kBuiltins)) {
        PyErr_Clear();
        return "importlib-patched";
    }
    Py_INCREF(original_);
    Py_INCREF(flags_);
    // False wherever file names keep their case; elsewhere the original looks in another cache.
    PyObject* relaxed = PyObject_CallNoArgs(functions_.function(kRelaxCase));
    const bool exact_case = relaxed == Py_False;
    Py_XDECREF(relaxed);
    if (!exact_case) {
        PyErr_Clear();
        return "relaxed-case";
    }
    own_name_ = name;
    installed_ = PyDescr_NewMethod(type_, &definition_);
    if (installed_ == nullptr ||
        PyObject_SetAttr(reinterpret_cast<PyObject*>(type_), name, installed_) != 0) {
        PyErr_Clear();
        return "importlib-patched";
    }
    armed_ = true;
    return nullptr;
}

void FinderServer::uninstall() {
    armed_ = false;
    restore_method(type_, own_name_, installed_, original_);
}

PyObject* FinderServer::find_spec(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                                  PyObject* keywords) {
    const Py_ssize_t keyword_count = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    if (keyword_count == 0 && (count == 1 || count == 2) && server.may_serve(self, arguments[0])) {
        PyObject* result = nullptr;
        PyObject* target = count == 2 ? arguments[1] : Py_None;
        if (server.serve(self, arguments[0], target, &result)) {
            ++server.found_;
            return result;
        }
    }
    return call_method(server.original_, self, arguments, count, keywords);
}

bool FinderServer::may_serve(PyObject* finder, PyObject* fullname) const {
    return armed_ && Py_TYPE(finder) == type_ && PyUnicode_CheckExact(fullname) &&
           pycds_in_main_interpreter() && !pycds_import_is_watched() && methods_.unchanged() &&
           functions_.unchanged() && globals_.unchanged() && message_.unchanged() &&
           builtins_.unchanged() && PySys_GetObject("flags") == flags_;
}

bool FinderServer::serve(PyObject* finder, PyObject* fullname, PyObject* target,
                         PyObject** result) {
    State state;
    for (size_t i = 0; i < kAttributes; ++i) {
        state.values[i] = PyObject_GetAttr(finder, attributes_[i]);
        if (state.values[i] == nullptr) {
            PyErr_Clear();
            return false;
        }
    }
    size_t name_size = 0;
    const char* name = plain_text(fullname, &name_size);
    size_t path_size = 0;
    const char* path = plain_text(state.values[kPath], &path_size);
    if (name == nullptr || path == nullptr || path_size == 0 || path[0] != '/') return false;
    if (!PySet_CheckExact(state.values[kCache]) || !take_loaders(&state.values[kLoaders])) {
        return false;
    }
    const auto* dot = static_cast<const char*>(memrchr(name, '.', name_size));
    const char* tail = dot == nullptr ? name : dot + 1;
    const size_t tail_size = name_size - static_cast<size_t>(tail - name);
    if (tail_size == 0 || std::memchr(tail, '/', tail_size) != nullptr) return false;

    PathBuffer directory;
    directory.append(path, path_size);
    if (directory.overflow || !cache_is_fresh(directory, state.values[kMtime])) return false;

    // _path_join(): trailing slashes of each part go, a slash goes between them.
    PathBuffer base;
    while (path_size != 0 && path[path_size - 1] == '/') --path_size;
    base.append(path, path_size);
    base.append("/", 1);
    base.append(tail, tail_size);

    const auto answer = [&](PyObject* loader_class, const PathBuffer& file, bool package) {
        PyObject* file_str = file.to_str();
        PyObject* locations = package ? Py_BuildValue("[N]", base.to_str()) : Py_NewRef(Py_None);
        if (file_str != nullptr && locations != nullptr) {
            PyObject* arguments[] = {finder, loader_class, fullname, file_str, locations, target};
            *result = PyObject_Vectorcall(methods_.function(kGetSpec), arguments, 6, nullptr);
        }
        Py_XDECREF(file_str);
        Py_XDECREF(locations);
    };

    PyObject* loaders = state.values[kLoaders];
    const int is_directory = cached(state.values[kCache], tail, tail_size, "", 0);
    if (is_directory < 0) {
        PyErr_Clear();
        return false;
    }
    if (is_directory != 0) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(loaders); ++i) {
            PyObject* entry = PyTuple_GET_ITEM(loaders, i);
            size_t suffix_size = 0;
            const char* suffix = plain_text(PyTuple_GET_ITEM(entry, 0), &suffix_size);
            PathBuffer file = base;
            file.append("/__init__", 9);
            file.append(suffix, suffix_size);
            if (file.overflow) return false;
            if (has_mode(file, S_IFREG)) {
                answer(PyTuple_GET_ITEM(entry, 1), file, true);
                return true;
            }
        }
        // Perhaps a namespace package, perhaps a module beside a directory: rare.
        if (has_mode(base, S_IFDIR)) return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(loaders); ++i) {
        PyObject* entry = PyTuple_GET_ITEM(loaders, i);
        size_t suffix_size = 0;
        const char* suffix = plain_text(PyTuple_GET_ITEM(entry, 0), &suffix_size);
        const int is_file = cached(state.values[kCache], tail, tail_size, suffix, suffix_size);
        if (is_file < 0) {
            PyErr_Clear();
            return false;
        }
        if (is_file == 0) continue;
        PathBuffer file = base;
        file.append(suffix, suffix_size);
        if (file.overflow) return false;
        if (has_mode(file, S_IFREG)) {
            answer(PyTuple_GET_ITEM(entry, 1), file, false);
            return true;
        }
    }
    *result = Py_NewRef(Py_None);
    return true;
}

}  // namespace pycds::loader
