#include "client/loader/get_code.h"

#include <sys/stat.h>

#include "client/interp/import_rules.h"
#include "client/interp/internals.h"
#include "client/loader/frames.h"
#include "client/loader/handout.h"
#include "client/loader/import_scope.h"
#include "client/loader/patterns.h"
#include "src/common/image/pyc_stat.h"

namespace pycds::loader {
namespace {

// Constant-initialised and without a destructor: nothing runs at load or exit.
constinit CodeServer server;

// importlib's own comparison (_validate_timestamp_pyc); for unchecked hash-based files it only
// wants the source to be there.
bool same_source(const struct stat& st, const image::RootRecord& root) {
    if ((root.flags & image::kRootUncheckedHash) != 0) return true;
    return interp::importlib_mtime(st.st_mtim) == root.source_mtime &&
           static_cast<uint32_t>(st.st_size) == root.source_size;
}

}  // namespace

CodeServer& code_server() {
    return server;
}

const char* miss_name(Miss miss) {
    switch (miss) {
        case Miss::kNotInImage: return "not-in-image";
        case Miss::kSourceChanged: return "source-changed";
        case Miss::kPycChanged: return "pyc-changed";
        case Miss::kAlreadyServed: return "already-served";
        case Miss::kWatched: return "watched";
        case Miss::kImportlibChanged: return "importlib-changed";
        case Miss::kOtherLoader: return "other-loader";
        case Miss::kCheckedHash: return "checked-hash";
        case Miss::kNoMemory: return "no-memory";
        case Miss::kCount: break;
    }
    return "unknown";
}

// The text up to "--" gives inspect.signature() what it says of the original.
PyMethodDef CodeServer::definition_ = {
    "get_code",
    reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&CodeServer::get_code)),
    METH_FASTCALL | METH_KEYWORDS,
    "get_code($self, fullname)\n--\n\n"
    "Concrete implementation of InspectLoader.get_code.\n\n"
    "Reading of bytecode requires path_stats to be implemented. To write\n"
    "bytecode, set_data must also be implemented.\n",
};

const char* CodeServer::install(bool (*attach)()) {
    if (const char* failure = stock_.inspect()) return failure;
    if (const char* failure = stock_.install(&definition_)) return failure;
    attach_ = attach;
    return nullptr;
}

void CodeServer::uninstall() {
    armed_ = false;
    stock_.uninstall();
}

void CodeServer::attach() {
    if (attach_ == nullptr) return;
    bool (*const attach)() = attach_;
    attach_ = nullptr;
    armed_ = attach();
}

PyObject* CodeServer::get_code(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                               PyObject* keywords) {
    const Py_ssize_t keyword_count = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    // What an interpreter imports for itself is in most processes no reason to ask for an image.
    if (server.attach_ != nullptr && pycds_in_main_interpreter() && program_runs()) server.attach();
    if (server.armed_ && count == 1 && keyword_count == 0) {
        if (PyObject* code = server.serve(self, arguments[0])) return code;
    } else {
        server.miss(Miss::kOtherLoader);
    }
    return call_method(server.stock_.original(), self, arguments, count, keywords);
}

// The code object (new reference), or nullptr without an exception: stock must do it.
PyObject* CodeServer::serve(PyObject* loader, PyObject* name) {
    if (!pycds_in_main_interpreter()) return miss(Miss::kOtherLoader);
    PyObject* path = nullptr;
    if (!stock_.unchanged()) return miss(Miss::kImportlibChanged);
    if (!stock_.accepts(loader, name, &path)) return miss(Miss::kOtherLoader);

    const Found found = find(path);
    if (found.root == nullptr) {
        Py_DECREF(path);
        return miss(Miss::kNotInImage);
    }
    PyObject* code = nullptr;
    if (pycds_import_is_watched()) {
        miss(Miss::kWatched);
    } else if ((found.root->flags & image::kRootUncheckedHash) != 0 &&
               stock_.hash_pycs_are_checked()) {
        miss(Miss::kCheckedHash);
    } else if (files_unchanged(found, found.image->path_at(found.root->path_offset))) {
        // No Python code ran since the statement above took the GIL back, and none runs until the
        // root is taken: no second thread can get the same objects.
        if (!found.image->take(*found.root)) {
            miss(Miss::kAlreadyServed);
        } else if ((code = prepare_module(*found.image, *found.root)) == nullptr) {
            miss(Miss::kNoMemory);
        } else {
            ++served_;
            import_scope().note_hand_out();
            pattern_server().note_hand_out(found.image->path_at(found.root->path_offset),
                                           found.root->path_size, code);
        }
    }
    Py_DECREF(path);
    return code;
}

CodeServer::Found CodeServer::find(PyObject* path) {
    // File names are bytes; for ASCII, and wherever the file system encoding is UTF-8, these are
    // the string's own. A path with surrogates (bytes that are no UTF-8) is not found.
    Py_ssize_t size = 0;
    const char* bytes = PyUnicode_AsUTF8AndSize(path, &size);
    if (bytes == nullptr) {
        PyErr_Clear();
        return {};
    }
    for (size_t i = 0; i < image_count_; ++i) {
        if (const image::RootRecord* root =
                images_[i].find_root(bytes, static_cast<size_t>(size))) {
            return {&images_[i], root};
        }
    }
    return {};
}

bool CodeServer::files_unchanged(const Found& found, const char* path) {
    const char* pyc = found.image->path_at(found.root->pyc_offset);
    struct stat source {};
    struct stat compiled {};
    PyThreadState* thread = PyEval_SaveThread();  // either may be on a network file system
    const bool have_source = stat(path, &source) == 0;
    const bool have_compiled = have_source && stat(pyc, &compiled) == 0;
    PyEval_RestoreThread(thread);
    if (!have_source || !same_source(source, *found.root)) {
        miss(Miss::kSourceChanged);
        return false;
    }
    if (!have_compiled || !same_pyc(compiled, *found.root)) {
        miss(Miss::kPycChanged);
        return false;
    }
    return true;
}

}  // namespace pycds::loader
