#include "client/loader/patterns.h"

#include <cstring>

#include "client/interp/internals.h"
#include "client/interp/interp.h"
#include "client/loader/get_code.h"
#include "src/common/image/checksum.h"

namespace pycds::loader {
namespace {

constinit PatternServer server;

// Globals of re._compiler (before 3.11: sre_compile) that its compile() calls; re._parser's (sre_parse's)
// parse() is looked up in that module.
constexpr const char* kFunctionNames[] = {"isstring", "_code"};
constexpr const char* kParseName[] = {"parse"};
constexpr const char* kClassNames[] = {"State", "SubPattern", "Tokenizer"};

bool ends_with(const char* path, size_t size, const char* end) {
    const size_t end_size = std::strlen(end);
    return size >= end_size && std::memcmp(path + size - end_size, end, end_size) == 0;
}

PyObject* module_named(const char* name) {
    PyObject* module = PyDict_GetItemString(PyImport_GetModuleDict(), name);  // borrowed
    return module != nullptr && PyModule_Check(module) ? module : nullptr;
}

bool in_images(PyObject* function) {
    CodeServer& images = code_server();
    for (size_t i = 0; i < images.image_count(); ++i) {
        if (images.images()[i].contains(PyFunction_GET_CODE(function))) return true;
    }
    return false;
}

struct Entry {
    PyObject* tuple = nullptr;  // borrowed
    const MappedImage* image = nullptr;
};

// The entry of a pattern, if there is one.
Entry find_entry(PyObject* pattern, PyObject* flags_object, uint32_t flags) {
    const void* data = nullptr;
    size_t size = 0;
    uint32_t width = 0;
    if (PyUnicode_CheckExact(pattern)) {
        width = static_cast<uint32_t>(PyUnicode_KIND(pattern));
        data = PyUnicode_DATA(pattern);
        size = static_cast<size_t>(PyUnicode_GET_LENGTH(pattern)) * width;
    } else {
        data = PyBytes_AS_STRING(pattern);
        size = static_cast<size_t>(PyBytes_GET_SIZE(pattern));
    }
    const uint64_t hash = image::pattern_hash(data, size, width, flags);
    CodeServer& images = code_server();
    for (size_t i = 0; i < images.image_count(); ++i) {
        PyObject* entry = images.images()[i].find_pattern(hash);
        if (entry == nullptr || !PyTuple_CheckExact(entry) ||
            PyTuple_GET_SIZE(entry) != image::kPatternEntrySize) {
            continue;
        }
        PyObject* known = PyTuple_GET_ITEM(entry, 0);
        if (Py_TYPE(known) == Py_TYPE(pattern) &&
            PyObject_RichCompareBool(known, pattern, Py_EQ) == 1 &&
            PyObject_RichCompareBool(PyTuple_GET_ITEM(entry, 1), flags_object, Py_EQ) == 1) {
            return {entry, &images.images()[i]};
        }
        PyErr_Clear();
    }
    return {};
}

// Is it the version noted before, of a thing that has versions?
bool is_version(uint64_t version, uint64_t noted) { return version != 0 && version == noted; }

// A list of the 32-bit words in a bytes object, whose type may not be right (MappedImage::is_bytes()).
PyObject* list_of_words(PyObject* bytes) {
    const Py_ssize_t count = PyBytes_GET_SIZE(bytes) / static_cast<Py_ssize_t>(sizeof(uint32_t));
    PyObject* list = PyList_New(count);
    for (Py_ssize_t i = 0; list != nullptr && i < count; ++i) {
        uint32_t word = 0;
        std::memcpy(&word, PyBytes_AS_STRING(bytes) + i * static_cast<Py_ssize_t>(sizeof word),
                    sizeof word);
        PyObject* number = PyLong_FromUnsignedLong(word);
        if (number == nullptr) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, number);
        }
    }
    return list;
}

}  // namespace

PatternServer& pattern_server() {
    return server;
}

PyMethodDef PatternServer::definition_ = {
    "compile",
    reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&PatternServer::compile)),
    METH_FASTCALL | METH_KEYWORDS,
    "compile($module, p, flags=0)\n--\n\n",
};

void PatternServer::note_hand_out(const char* path, size_t size, PyObject* code) {
    if (ends_with(path, size, interp::kPatternCompilerFile)) compiler_code_ = code;
    if (ends_with(path, size, interp::kPatternParserFile)) parser_code_ = code;
}

void PatternServer::install() {
    PyObject* compiler = module_named(interp::kPatternCompiler);
    PyObject* parser = module_named(interp::kPatternParser);
    engine_module_ = module_named("_sre");
    compile_name_ = PyUnicode_InternFromString("compile");
    PyErr_Clear();
    if (parser_code_ == nullptr || compiler == nullptr || parser == nullptr ||
        engine_module_ == nullptr || compile_name_ == nullptr) {
        return;
    }
    compiler_globals_ = PyModule_GetDict(compiler);
    original_ = PyDict_GetItemWithError(compiler_globals_, compile_name_);
    if (original_ == nullptr) {  // still being executed
        PyErr_Clear();
        return;
    }
    // One attempt: what is not as it was made by now is somebody's wish.
    compiler_code_ = nullptr;
    engine_ = PyDict_GetItemWithError(PyModule_GetDict(engine_module_), compile_name_);
    parser_globals_ = PyModule_GetDict(parser);
    PyErr_Clear();
    if (!is_function_of(original_, compiler_globals_) || !in_images(original_) ||
        engine_ == nullptr || !PyCFunction_Check(engine_) ||
        !functions_.pin_globals(kFunctionNames, compiler_globals_) ||
        !parse_.pin_globals(kParseName, parser_globals_)) {
        return;
    }
    for (size_t i = 0; i < 2; ++i) {
        if (!in_images(functions_.function(i))) return;
    }
    if (!in_images(parse_.function(0))) return;
    PyObject* name = PyUnicode_FromString(interp::kPatternCompiler);
    PyObject* function = name == nullptr ? nullptr : PyCFunction_NewEx(&definition_, nullptr, name);
    Py_XDECREF(name);
    if (function != nullptr) {
        Py_INCREF(original_);
        Py_INCREF(engine_);
        Py_INCREF(engine_module_);
        Py_INCREF(compiler_globals_);
        Py_INCREF(parser_globals_);
        armed_ = PyDict_SetItem(compiler_globals_, compile_name_, function) == 0 && note_versions();
        Py_DECREF(function);
    }
    PyErr_Clear();
}

// All that parsing and compiling call lies in the namespaces of re's two modules and of three classes:
// who replaces any of it changes one of these.
bool PatternServer::note_versions() {
    for (size_t i = 0; i < kClasses; ++i) {
        PyObject* found = PyDict_GetItemString(parser_globals_, kClassNames[i]);  // borrowed
        if (found == nullptr || !PyType_Check(found)) return false;
        classes_[i] = reinterpret_cast<PyTypeObject*>(Py_NewRef(found));
        class_versions_[i] = pycds_type_version(classes_[i]);
    }
    compiler_version_ = pycds_dict_version(compiler_globals_);
    parser_version_ = pycds_dict_version(parser_globals_);
    return true;
}

bool PatternServer::unchanged() const {
    if (!is_version(pycds_dict_version(compiler_globals_), compiler_version_) ||
        !is_version(pycds_dict_version(parser_globals_), parser_version_)) {
        return false;
    }
    for (size_t i = 0; i < kClasses; ++i) {
        if (!is_version(pycds_type_version(classes_[i]), class_versions_[i])) return false;
    }
    return PyDict_GetItemWithError(PyModule_GetDict(engine_module_), compile_name_) == engine_;
}

PyObject* PatternServer::compile(PyObject*, PyObject* const* arguments, Py_ssize_t count,
                                 PyObject* keywords) {
    if (keywords == nullptr && count == 2 && server.armed_) {
        PyObject* pattern = server.serve(arguments[0], arguments[1]);
        if (pattern != nullptr || PyErr_Occurred() != nullptr) return pattern;
    }
    return PyObject_Vectorcall(server.original_, arguments, static_cast<size_t>(count), keywords);
}

PyObject* PatternServer::serve(PyObject* pattern, PyObject* flags) {
    if ((!PyUnicode_CheckExact(pattern) && !PyBytes_CheckExact(pattern)) ||
        !PyLong_CheckExact(flags)) {
        return nullptr;
    }
    if (!pycds_in_main_interpreter() || pycds_import_is_watched() || !unchanged()) return nullptr;
    int overflow = 0;
    const long value = PyLong_AsLongAndOverflow(flags, &overflow);
    if (overflow != 0 || value < 0 || value > 0xffff) return nullptr;
    const Entry entry = find_entry(pattern, flags, static_cast<uint32_t>(value));
    if (entry.tuple == nullptr ||
        !entry.image->is_bytes(PyTuple_GET_ITEM(entry.tuple, image::kPatternCode))) {
        return nullptr;
    }
    PyObject* made = make(pattern, entry.tuple);
    if (made != nullptr) ++served_;
    return made;
}

// What compile() does with the result of parsing (Lib/re/_compiler.py).
PyObject* PatternServer::make(PyObject* pattern, PyObject* entry) const {
    PyObject* groups = PyTuple_GET_ITEM(entry, 4);
    PyObject* names = PyTuple_GET_ITEM(entry, 5);
    if (!PyLong_CheckExact(groups) || !PyTuple_CheckExact(names)) {
        return nullptr;
    }
    const Py_ssize_t group_count = PyLong_AsSsize_t(groups);
    if (group_count < 0) {
        PyErr_Clear();
        return nullptr;
    }
    PyObject* words = list_of_words(PyTuple_GET_ITEM(entry, image::kPatternCode));
    PyObject* group_index = PyDict_New();
    PyObject* index_group = PyTuple_New(group_count + 1);
    PyObject* result = nullptr;
    bool ok = words != nullptr && group_index != nullptr && index_group != nullptr;
    if (ok) {
        for (Py_ssize_t i = 0; i <= group_count; ++i) {
            PyTuple_SET_ITEM(index_group, i, Py_NewRef(Py_None));
        }
    }
    for (Py_ssize_t i = 0; ok && i + 1 < PyTuple_GET_SIZE(names); i += 2) {
        PyObject* name = PyTuple_GET_ITEM(names, i);
        const Py_ssize_t number = PyLong_AsSsize_t(PyTuple_GET_ITEM(names, i + 1));
        ok = number >= 0 && number <= group_count &&
             PyDict_SetItem(group_index, name, PyTuple_GET_ITEM(names, i + 1)) == 0;
        if (ok) {
            Py_DECREF(PyTuple_GET_ITEM(index_group, number));
            PyTuple_SET_ITEM(index_group, number, Py_NewRef(name));
        }
    }
    if (ok) {
        PyObject* arguments[] = {pattern,    PyTuple_GET_ITEM(entry, 2), words, groups, group_index,
                                 index_group};
        result = PyObject_Vectorcall(engine_, arguments, 6, nullptr);
    } else {
        PyErr_Clear();
    }
    Py_XDECREF(words);
    Py_XDECREF(group_index);
    Py_XDECREF(index_group);
    return result;
}

}  // namespace pycds::loader
