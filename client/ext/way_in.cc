#include "client/ext/way_in.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "client/interp/interp.h"

namespace pycds::ext {
namespace {

constexpr const char* kName = "sitecustomize";
constexpr char kClientFile[] = "/_pycds.";
constexpr char kOwnFile[] = "/sitecustomize.";

// Bytes of a path; false without an exception if it has too many or cannot be encoded.
bool path_bytes(PyObject* path, char (&out)[PATH_MAX]) {
    PyObject* bytes = PyUnicode_Check(path) ? PyUnicode_EncodeFSDefault(path) : nullptr;
    const bool fits = bytes != nullptr && PyBytes_GET_SIZE(bytes) < PATH_MAX;
    if (fits) std::memcpy(out, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes) + 1);
    if (bytes == nullptr) PyErr_Clear();
    Py_XDECREF(bytes);
    return fits;
}

// The path of the client beside a file named sitecustomize. New reference or an exception.
PyObject* beside(PyObject* file) {
    PyObject* from = PyUnicode_FromString(kOwnFile);
    PyObject* to = PyUnicode_FromString(kClientFile);
    PyObject* result =
        from != nullptr && to != nullptr ? PyUnicode_Replace(file, from, to, -1) : nullptr;
    Py_XDECREF(from);
    Py_XDECREF(to);
    return result;
}

// Only the client's own directory has the library itself. Any other, the standard library's above
// all, has a link, and is on the path for reasons of its own.
bool in_client_directory(PyObject* library) {
    char path[PATH_MAX];
    struct stat st {};
    return path_bytes(library, path) && lstat(path, &st) == 0 && S_ISREG(st.st_mode);
}

PyObject* directory_of(PyObject* file) {
    const Py_ssize_t slash = PyUnicode_FindChar(file, '/', 0, PyUnicode_GET_LENGTH(file), -1);
    if (slash == -2) return nullptr;
    return PyUnicode_Substring(file, 0, slash > 0 ? slash : 0);
}

bool names_client(const char* path) {
    const char* slash = std::strrchr(path, '/');
    return slash != nullptr && std::strncmp(slash, kClientFile, sizeof kClientFile - 1) == 0;
}

// Is it a client, of whatever version, under the name sitecustomize?
bool is_hook(PyObject* file) {
    char path[PATH_MAX];
    char real[PATH_MAX];
    if (!path_bytes(file, path) || std::strstr(path, ".so") == nullptr) return false;
    return realpath(path, real) != nullptr && names_client(real);
}

// The directory of the client stands on sys.path only to be found as sitecustomize. Once that has
// happened nothing may show it. False if it is not there.
bool leave_path(PyObject* directory) {
    PyObject* path = PySys_GetObject("path");  // borrowed
    if (path == nullptr || !PyList_Check(path)) return false;
    const Py_ssize_t at = PySequence_Index(path, directory);
    if (at < 0 || PySequence_DelItem(path, at) != 0) {
        PyErr_Clear();
        return false;
    }
    PyObject* cache = PySys_GetObject("path_importer_cache");  // borrowed
    if (cache != nullptr && PyDict_Check(cache) && PyDict_DelItem(cache, directory) != 0) {
        PyErr_Clear();
    }
    return true;
}

// Finders that for a while do not see the extension module `sitecustomize` of their directory, and
// see everything else.
class Blinded {
  public:
    Blinded() = default;
    Blinded(const Blinded&) = delete;
    Blinded& operator=(const Blinded&) = delete;
    ~Blinded();
    // False, without an exception, if that cannot be done for this file.
    bool to(PyObject* file);

  private:
    static constexpr size_t kMost = 8;
    struct Entry {
        PyObject* finder;
        PyObject* loaders;
    };

    bool blind(PyObject* finder, PyObject* suffix);

    Entry entries_[kMost];
    size_t count_ = 0;
};

Blinded::~Blinded() {
    PyObject* type = nullptr;
    PyObject* value = nullptr;
    PyObject* traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    for (size_t i = 0; i < count_; ++i) {
        if (PyObject_SetAttrString(entries_[i].finder, "_loaders", entries_[i].loaders) != 0) {
            PyErr_Clear();
        }
        Py_DECREF(entries_[i].finder);
        Py_DECREF(entries_[i].loaders);
    }
    PyErr_Restore(type, value, traceback);
}

// FileFinder._loaders is a list of (suffix, loader).
bool Blinded::blind(PyObject* finder, PyObject* suffix) {
    if (count_ == kMost) return false;
    PyObject* all = PyObject_GetAttrString(finder, "_loaders");
    PyObject* others = all != nullptr && PyList_Check(all) ? PyList_New(0) : nullptr;
    bool ok = others != nullptr;
    for (Py_ssize_t i = 0; ok && i < PyList_GET_SIZE(all); ++i) {
        PyObject* entry = PyList_GET_ITEM(all, i);
        const bool hidden = PyTuple_Check(entry) && PyTuple_GET_SIZE(entry) != 0 &&
                            PyUnicode_Check(PyTuple_GET_ITEM(entry, 0)) &&
                            PyUnicode_Compare(PyTuple_GET_ITEM(entry, 0), suffix) == 0;
        if (!hidden) ok = PyList_Append(others, entry) == 0;
    }
    ok = ok && PyList_GET_SIZE(others) != PyList_GET_SIZE(all) &&
         PyObject_SetAttrString(finder, "_loaders", others) == 0;
    Py_XDECREF(others);
    if (!ok) {
        PyErr_Clear();
        Py_XDECREF(all);
        return false;
    }
    entries_[count_++] = {Py_NewRef(finder), all};
    return true;
}

bool Blinded::to(PyObject* file) {
    PyObject* cache = PySys_GetObject("path_importer_cache");  // borrowed
    if (cache == nullptr || !PyDict_Check(cache)) return false;
    PyObject* directory = directory_of(file);
    PyObject* suffix = nullptr;
    if (directory != nullptr) {
        const Py_ssize_t stem = PyUnicode_GET_LENGTH(directory) + 1 + std::strlen(kName);
        suffix = PyUnicode_Substring(file, stem, PY_SSIZE_T_MAX);
    }
    // By the finder's own path, because a directory may be spelled otherwise on sys.path. All of
    // them: a directory that is there twice has two.
    PyObject* finders = suffix != nullptr ? PyDict_Values(cache) : nullptr;
    bool found = false;
    for (Py_ssize_t i = 0; finders != nullptr && i < PyList_GET_SIZE(finders); ++i) {
        PyObject* finder = PyList_GET_ITEM(finders, i);
        PyObject* path = finder != Py_None ? PyObject_GetAttrString(finder, "path") : nullptr;
        if (path != nullptr && PyUnicode_Check(path) && PyUnicode_Compare(path, directory) == 0) {
            found |= blind(finder, suffix);
        }
        Py_XDECREF(path);
        PyErr_Clear();
    }
    PyErr_Clear();
    Py_XDECREF(finders);
    Py_XDECREF(suffix);
    Py_XDECREF(directory);
    return found;
}

// What importlib finds for `sitecustomize` in all the places where it looks, less the clients in
// them: a spec, or None. New reference, or nullptr with an exception, which then is stock's.
PyObject* find_stock_spec(PyObject* bootstrap, PyObject* file) {
    Blinded finders;
    PyObject* spec = nullptr;
    PyObject* seen = Py_NewRef(file);
    while (seen != nullptr && finders.to(seen)) {
        Py_CLEAR(seen);
        Py_XDECREF(spec);
        spec = PyObject_CallMethod(bootstrap, "_find_spec", "sO", kName, Py_None);
        if (spec == nullptr || spec == Py_None) return spec;
        PyObject* origin = PyObject_GetAttrString(spec, "origin");
        if (origin == nullptr) PyErr_Clear();
        if (origin == nullptr || !is_hook(origin)) {
            Py_XDECREF(origin);
            return spec;
        }
        seen = origin;
    }
    Py_XDECREF(seen);
    Py_XDECREF(spec);
    return Py_NewRef(Py_None);
}

int import_behind(PyObject* file) {
    PyObject* bootstrap = PyImport_ImportModule("_frozen_importlib");
    if (bootstrap == nullptr) return -1;
    PyObject* spec = find_stock_spec(bootstrap, file);
    PyObject* module = nullptr;
    if (spec == Py_None) {
        PyObject* message = PyUnicode_FromFormat("No module named '%s'", kName);
        PyObject* name = PyUnicode_FromString(kName);
        if (message != nullptr && name != nullptr) {
            PyErr_SetImportErrorSubclass(PyExc_ModuleNotFoundError, message, name, nullptr);
        }
        Py_XDECREF(message);
        Py_XDECREF(name);
    } else if (spec != nullptr) {
        module = PyObject_CallMethod(bootstrap, "_load", "O", spec);
    }
    Py_XDECREF(spec);
    Py_DECREF(bootstrap);
    if (module == nullptr) return -1;
    Py_DECREF(module);
    return 0;
}

}  // namespace

PyObject* library_file(PyObject* file) {
    PyObject* library = beside(file);
    if (library == nullptr || in_client_directory(library)) return library;
    Py_DECREF(library);
    char path[PATH_MAX];
    char real[PATH_MAX];
    if (!path_bytes(file, path)) return Py_NewRef(file);
    // What pycdsctl makes leads there at once.
    const ssize_t size = readlink(path, real, sizeof real - 1);
    if (size > 0 && real[0] == '/') {
        real[size] = '\0';
        if (names_client(real)) return PyUnicode_DecodeFSDefault(real);
    }
    if (realpath(path, real) == nullptr) return Py_NewRef(file);
    return PyUnicode_DecodeFSDefault(real);
}

int import_stock_sitecustomize(PyObject* file) {
    if (PyDict_DelItemString(PyImport_GetModuleDict(), kName) != 0) PyErr_Clear();
    PyObject* library = beside(file);
    bool left = false;
    if (library != nullptr && in_client_directory(library)) {
        PyObject* directory = directory_of(file);
        left = directory != nullptr && leave_path(directory);
        Py_XDECREF(directory);
    }
    Py_XDECREF(library);
    PyErr_Clear();
    if (!left) return import_behind(file);
    PyObject* real = PyImport_ImportModule(kName);
    if (real == nullptr) return -1;
    Py_DECREF(real);
    return 0;
}

}  // namespace pycds::ext
