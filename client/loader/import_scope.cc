#include "client/loader/import_scope.h"

#include "client/interp/internals.h"
#include "client/interp/interp.h"
#include "client/loader/get_code.h"
#include "client/loader/patterns.h"
#include "client/loader/scrub.h"

namespace pycds::loader {
namespace {

constinit ImportScope scope;

constexpr const char* kMethodNames[] = {"__enter__", "__exit__"};
constexpr size_t kEnter = 0;
constexpr size_t kExit = 1;

// What fewer modules leave behind is not worth looking for.
constexpr uint32_t kModulesWorthScrubbing = 64;

// Where reference counts are written, those of what functions refer to are written again when the
// interpreter ends: for fewer modules than this, which short programs import, that shows.
constexpr uint32_t kModulesWorthWritingAgain = interp::kRefcountsAreWritten ? 192 : 0;

// How often to look whether importlib has returned: it is about to, and CPython calls 32 times in a row
// (NPENDINGCALLS of Include/internal/pycore_ceval_state.h).
constexpr uint32_t kPatience = 1024;

// More than nearly any module leaves behind; an import that makes more garbage than that is
// collected as ever.
constexpr int kDeferredAllocations = 20'000;

// Is what runs threading._shutdown(), the first that an interpreter calls when its program has ended
// (wait_for_thread_shutdown() in Python/pylifecycle.c)? To give pages back then is for nothing.
bool waits_for_threads() {
    PyFrameObject* frame = PyEval_GetFrame();  // borrowed
    if (frame == nullptr) return false;
    PyCodeObject* code = PyFrame_GetCode(frame);
    PyFrameObject* caller = PyFrame_GetBack(frame);
    const bool result = caller == nullptr &&
                        PyUnicode_CompareWithASCIIString(code->co_name, "_shutdown") == 0;
    Py_XDECREF(caller);
    Py_DECREF(code);
    return result;
}

}  // namespace

ImportScope& import_scope() {
    return scope;
}

PyMethodDef ImportScope::enter_definition_ = {
    "__enter__",
    reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&ImportScope::enter)),
    METH_FASTCALL | METH_KEYWORDS,
    "__enter__($self)\n--\n\n",
};

PyMethodDef ImportScope::exit_definition_ = {
    "__exit__",
    reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&ImportScope::exit)),
    METH_FASTCALL | METH_KEYWORDS,
    "__exit__($self, /, *args, **kwargs)\n--\n\n",
};

const char* ImportScope::install() {
    PyTypeObject* type = nullptr;
    PyObject* globals = nullptr;
    if (!find_importlib_class("_frozen_importlib", "_ModuleLockManager", &type, &globals)) {
        return "importlib-missing";
    }
    if (!methods_.pin_methods(type, kMethodNames, globals)) return "importlib-patched";
    type_ = type;
    installed_[kEnter] = PyDescr_NewMethod(type, &enter_definition_);
    installed_[kExit] = PyDescr_NewMethod(type, &exit_definition_);
    auto* target = reinterpret_cast<PyObject*>(type);
    if (installed_[kEnter] != nullptr && installed_[kExit] != nullptr &&
        PyObject_SetAttr(target, methods_.name(kExit), installed_[kExit]) == 0 &&
        PyObject_SetAttr(target, methods_.name(kEnter), installed_[kEnter]) == 0) {
        return nullptr;
    }
    PyErr_Clear();
    uninstall();
    return "importlib-patched";
}

void ImportScope::uninstall() {
    for (size_t i = kEnter; i <= kExit; ++i) {
        restore_method(type_, methods_.name(i), installed_[i], methods_.function(i));
    }
}

PyObject* ImportScope::enter(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                             PyObject* keywords) {
    PyObject* result =
        call_method(scope.methods_.function(kEnter), self, arguments, count, keywords);
    if (result != nullptr) scope.begin_import();
    return result;
}

PyObject* ImportScope::exit(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                            PyObject* keywords) {
    PyObject* result =
        call_method(scope.methods_.function(kExit), self, arguments, count, keywords);
    if (result != nullptr) {
        scope.end_import();
    } else {
        // It is over all the same: importlib's `with` statement has been left.
        PyObject* type = nullptr;
        PyObject* value = nullptr;
        PyObject* traceback = nullptr;
        PyErr_Fetch(&type, &value, &traceback);
        scope.end_import();
        PyErr_Restore(type, value, traceback);
    }
    return result;
}

void ImportScope::begin_import() {
    const unsigned long thread = PyThread_get_thread_ident();
    if (depth_ == 0) thread_ = thread;
    if (thread_ == thread) ++depth_;
}

void ImportScope::end_import() {
    pattern_server().modules_ran();
    if (depth_ == 0 || thread_ != PyThread_get_thread_ident() || --depth_ != 0) return;
    pycds_defer_collection(0);
    if (keeps_pages_ || waits_ || handed_out_ - scrubbed_at_ < kModulesWorthScrubbing) return;
    // Perhaps another import follows, or the end of the program.
    patience_ = kPatience;
    wait();
}

void ImportScope::wait() { waits_ = Py_AddPendingCall(when_it_goes_on, this) == 0; }

// Called by the interpreter when it next runs Python code, which may still be importlib's.
int ImportScope::when_it_goes_on(void* self) {
    auto* scope = static_cast<ImportScope*>(self);
    scope->waits_ = false;
    // Another import is going on, whose end will see to it.
    if (scope->depth_ != 0 || pycds_is_finalizing()) return 0;
    if (scope->in_importlib()) {
        if (scope->patience_ == 0) return 0;
        --scope->patience_;
        scope->wait();
    } else if (!waits_for_threads()) {
        scope->scrub_images(scope->handed_out_ < kModulesWorthWritingAgain);
    }
    return 0;
}

bool ImportScope::in_importlib() const {
    PyFrameObject* frame = PyEval_GetFrame();  // borrowed
    if (frame == nullptr) return true;         // nothing runs, and nothing will
    PyCodeObject* code = PyFrame_GetCode(frame);
    auto* known = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(methods_.function(kEnter)));
    const bool same = code->co_filename == known->co_filename;
    Py_DECREF(code);
    return same;
}

void ImportScope::tear_down() {
    if (given_back_ == 0) return;
    CodeServer& server = code_server();
    for (size_t i = 0; i < server.image_count(); ++i) take_back(server.images()[i]);
}

void ImportScope::note_hand_out() {
    ++handed_out_;
    if (depth_ != 0) pycds_defer_collection(kDeferredAllocations);
}

uint64_t ImportScope::scrub_now() { return scrub_images(false); }

uint64_t ImportScope::scrub_images(bool spare_functions) {
    scrubbed_at_ = handed_out_;
    uint64_t pages = 0;
    CodeServer& server = code_server();
    for (size_t i = 0; i < server.image_count(); ++i) {
        pages += scrub(server.images()[i], spare_functions);
    }
    given_back_ += pages;
    return pages;
}

}  // namespace pycds::loader
