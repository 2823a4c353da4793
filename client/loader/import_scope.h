// When imports begin and end: importlib takes a module's lock before it looks for the module and
// gives it back when that has been executed (_bootstrap._ModuleLockManager). Counted here, so that
// things can be done once an import, with all that it imports in turn, is over. Freestanding.
#pragma once

#include <Python.h>

#include <cstdint>

#include "client/loader/pinned.h"

namespace pycds::loader {

class ImportScope {
  public:
    // Takes the place of _ModuleLockManager.__enter__ and __exit__, which are called as before.
    // Returns nullptr, or why not; then nothing is replaced. No exception is left set.
    const char* install();

    // Puts the originals back, unless something else is there by now.
    void uninstall();

    // A module was handed out. Until the import is over automatic garbage collections wait: stock's
    // count mostly objects that unmarshalling makes, and what a module leaves is there to stay.
    void note_hand_out();

    // The interpreter takes itself apart.
    void tear_down();

    // Gives back all pages that can be given back, now (scrub.h). Returns how many.
    uint64_t scrub_now();

    uint64_t pages_given_back() const { return given_back_; }

    // Nothing is given back by itself any more.
    void keep_pages() { keeps_pages_ = true; }

  private:
    static PyObject* enter(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                           PyObject* keywords);
    static PyObject* exit(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                          PyObject* keywords);
    static PyMethodDef enter_definition_;
    static PyMethodDef exit_definition_;

    void begin_import();
    void end_import();
    uint64_t scrub_images(bool spare_functions);
    void wait();
    static int when_it_goes_on(void* self);
    bool in_importlib() const;

    PinnedFunctions<2> methods_;
    PyTypeObject* type_ = nullptr;
    PyObject* installed_[2] = {};
    bool keeps_pages_ = false;
    bool waits_ = false;  // for when_it_goes_on()
    uint32_t patience_ = 0;
    // The thread whose outermost import is going on, and how deep it is in it. Others are not
    // counted meanwhile.
    unsigned long thread_ = 0;
    uint32_t depth_ = 0;
    uint32_t handed_out_ = 0;   // modules
    uint32_t scrubbed_at_ = 0;  // handed_out_ when pages were last given back
    uint64_t given_back_ = 0;
};

ImportScope& import_scope();

}  // namespace pycds::loader
