// The serving rule: SourceFileLoader.get_code from an image, exactly where the result is what stock
// importlib would return; everything else is the original's business. Freestanding.
#pragma once

#include <Python.h>

#include <cstdint>

#include "client/loader/mapped_image.h"
#include "client/loader/source_loader.h"

namespace pycds::loader {

// Why a request went to stock. Names are those of stats()["misses"].
enum class Miss : unsigned {
    kNotInImage = 0,   // no root for this path
    kSourceChanged,    // source is missing, or not the one the .pyc was made for
    kPycChanged,       // .pyc is missing, or not the file the builder read
    kAlreadyServed,    // second request for the same module
    kWatched,          // tracer, profiler, audit hook, ... would miss events
    kImportlibChanged, // somebody replaced a part of importlib or sys that get_code uses
    kOtherLoader,      // subclass, another interpreter, arguments we do not know
    kCheckedHash,      // --check-hash-based-pycs=always
    kNoMemory,
    kCount
};

const char* miss_name(Miss miss);

// The server of this process. One per process, never destroyed.
class CodeServer {
  public:
    // Takes the place of SourceFileLoader.get_code. `attach` is called once, with the first request, with
    // the GIL, which it may release meanwhile; true: it has added images. Returns nullptr or why not.
    const char* install(bool (*attach)());

    // Puts the original back, if nobody has put anything else there.
    void uninstall();

    // Does what the first request would do.
    void attach();

    MappedImage* images() { return images_; }
    size_t image_count() const { return image_count_; }
    MappedImage* next_image() {
        return image_count_ == image::kSlots ? nullptr : &images_[image_count_];
    }
    void keep_image() { ++image_count_; }

    uint64_t served() const { return served_; }
    uint64_t misses(Miss miss) const { return misses_[static_cast<unsigned>(miss)]; }

    // From now on everything goes to stock (finalisation).
    void disarm() { armed_ = false; }

  private:
    struct Found {
        MappedImage* image = nullptr;
        const image::RootRecord* root = nullptr;
    };

    static PyObject* get_code(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                              PyObject* keywords);
    static PyMethodDef definition_;

    PyObject* serve(PyObject* loader, PyObject* name);
    Found find(PyObject* path);
    bool files_unchanged(const Found& found, const char* path);
    PyObject* miss(Miss reason) {
        ++misses_[static_cast<unsigned>(reason)];
        return nullptr;
    }

    SourceLoader stock_;
    MappedImage images_[image::kSlots];
    size_t image_count_ = 0;
    bool armed_ = false;
    bool (*attach_)() = nullptr;  // until it is called
    uint64_t served_ = 0;
    uint64_t misses_[static_cast<unsigned>(Miss::kCount)] = {};
};

CodeServer& code_server();

}  // namespace pycds::loader
