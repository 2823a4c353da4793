// Compiled regular expressions from the images: re._compiler.compile without parsing, where an
// image has the result. It is a pure function of pattern, flags and interpreter (the image's table
// says of what), so the object that the matching engine makes of it is the one that stock makes.
// Freestanding.
#pragma once

#include <Python.h>

#include <cstdint>

#include "client/loader/mapped_image.h"
#include "client/loader/pinned.h"

namespace pycds::loader {

class PatternServer {
  public:
    // A module was handed out; `path` is its source's. Takes note of re's own ones.
    void note_hand_out(const char* path, size_t size, PyObject* code);

    // Modules have been executed since the last call. Takes the place of re._compiler.compile as
    // soon as that is there, if it and what it calls came out of an image.
    void modules_ran() {
        if (compiler_code_ != nullptr && !armed_) install();
    }

    uint64_t served() const { return served_; }

    // From now on everything goes to stock (finalisation).
    void disarm() { armed_ = false; }

  private:
    static PyObject* compile(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                             PyObject* keywords);
    static PyMethodDef definition_;

    void install();
    bool note_versions();
    bool unchanged() const;
    // The pattern object (new reference); nullptr without an exception: stock must compile it.
    PyObject* serve(PyObject* pattern, PyObject* flags);
    PyObject* make(PyObject* pattern, PyObject* entry) const;

    bool armed_ = false;
    uint64_t served_ = 0;
    PyObject* compiler_code_ = nullptr;  // module code objects in an image; borrowed
    PyObject* parser_code_ = nullptr;
    PyObject* original_ = nullptr;
    PyObject* engine_ = nullptr;  // _sre.compile
    // What the original looks up, and where.
    PinnedFunctions<2> functions_;  // of re._compiler
    PinnedFunctions<1> parse_;      // of re._parser
    PyObject* compiler_globals_ = nullptr;
    PyObject* parser_globals_ = nullptr;
    static constexpr size_t kClasses = 3;
    PyTypeObject* classes_[kClasses] = {};  // of re._parser
    uint64_t compiler_version_ = 0;
    uint64_t parser_version_ = 0;
    uint64_t class_versions_[kClasses] = {};
    PyObject* engine_module_ = nullptr;
    PyObject* compile_name_ = nullptr;
};

PatternServer& pattern_server();

}  // namespace pycds::loader
