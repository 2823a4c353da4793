#include "client/loader/run_once.h"

#include <cstring>

#include "client/interp/common_layout.h"
#include "client/loader/interning.h"

namespace pycds::loader {
namespace {

using image::TypeIndex;

// Deeper than the compiler nests classes.
constexpr int kMaxDepth = 200;

class Copier {
  public:
    explicit Copier(MappedImage& image)
        : image_(image), header_(*image.at<const image::Header>(0)) {}

    PyObject* object(uint64_t offset, int depth) {
        if (depth > kMaxDepth) return nullptr;
        const auto* source = image_.at<const PyObject>(offset);
        const auto type = reinterpret_cast<uint64_t>(source->ob_type);
        switch (static_cast<TypeIndex>(image_.relocation().type_number(type))) {
            case TypeIndex::kCode: return code(offset, depth);
            case TypeIndex::kTuple: return tuple(offset, depth);
            case TypeIndex::kSlice: return slice(offset, depth);
            case TypeIndex::kBytes: {
                auto* bytes = image_.at<PyBytesObject>(offset);
                const Py_ssize_t size = reinterpret_cast<const PyVarObject*>(source)->ob_size;
                // As unmarshalling does: with its contents at hand one byte would be the interpreter's
                // own (Python/marshal.c TYPE_STRING, Objects/bytesobject.c).
                PyObject* copy = PyBytes_FromStringAndSize(nullptr, size);
                if (copy != nullptr) {
                    std::memcpy(PyBytes_AS_STRING(copy), bytes->ob_sval, static_cast<size_t>(size));
                }
                return copy;
            }
            default: return nullptr;
        }
    }

  private:
    PyObject* code(uint64_t offset, int depth) {
        const auto* source = image_.at<const PyCodeObject>(offset);
        // Which cell holds which argument: what runs once has no arguments.
        if (interp::has_code_array(source)) return nullptr;
        PyCodeObject* copy = interp::new_code(source);
        if (copy == nullptr) return nullptr;
        std::memcpy(reinterpret_cast<char*>(copy) + sizeof(PyObject),
                    reinterpret_cast<const char*>(source) + sizeof(PyObject),
                    interp::code_size(source) - sizeof(PyObject));
        // So that it can be freed at any time.
        for (const size_t pointer : interp::kCodePointers) *slot(copy, pointer) = nullptr;
        for (const size_t pointer : interp::kCodePointers) {
            PyObject* value = referred(*image_.at<uint64_t>(offset + pointer), depth);
            if (value == nullptr) {
                Py_DECREF(copy);
                return nullptr;
            }
            *slot(copy, pointer) = value;
        }
        return reinterpret_cast<PyObject*>(copy);
    }

    PyObject* tuple(uint64_t offset, int depth) {
        const Py_ssize_t size = image_.at<const PyVarObject>(offset)->ob_size;
        PyObject* copy = PyTuple_New(size);
        for (Py_ssize_t i = 0; copy != nullptr && i < size; ++i) {
            const uint64_t at =
                offset + interp::kTupleItems + static_cast<uint64_t>(i) * sizeof(PyObject*);
            PyObject* value = referred(*image_.at<uint64_t>(at), depth);
            if (value == nullptr) {
                Py_CLEAR(copy);
            } else {
                PyTuple_SET_ITEM(copy, i, value);
            }
        }
        return copy;
    }

    PyObject* slice(uint64_t offset, int depth) {
        PyObject* items[interp::kSliceItemCount] = {};
        PyObject* copy = nullptr;
        bool ok = true;
        for (size_t i = 0; ok && i < interp::kSliceItemCount; ++i) {
            const uint64_t at = offset + interp::kSliceItems + i * sizeof(PyObject*);
            items[i] = referred(*image_.at<uint64_t>(at), depth);
            ok = items[i] != nullptr;
        }
        if (ok) copy = PySlice_New(items[0], items[1], items[2]);
        for (PyObject* item : items) Py_XDECREF(item);
        return copy;
    }

    // What a slot of the image refers to, in this process; a new reference.
    PyObject* referred(uint64_t value, int depth) {
        const uint64_t offset = value - header_.requested_base;
        if (offset >= header_.objects_end) {
            return Py_XNewRef(reinterpret_cast<PyObject*>(image_.relocation().here(value)));
        }
        if (image_.is_copied(offset)) return object(offset, depth + 1);
        auto* target = image_.at<PyObject>(offset);
        if (image_.is_listed(offset) && !image_.is_canonical(static_cast<uint32_t>(offset / 8))) {
            // The one that the module's slots have been redirected to.
            PyObject* known = interning().find(target);
            return known != nullptr ? known : interning().enter(target);
        }
        return Py_NewRef(target);
    }

    static PyObject** slot(PyCodeObject* code, size_t offset) {
        return reinterpret_cast<PyObject**>(reinterpret_cast<char*>(code) + offset);
    }

    MappedImage& image_;
    const image::Header& header_;
};

}  // namespace

PyObject* copy_run_once(MappedImage& image, uint64_t offset) {
    PyObject* code = Copier(image).object(offset, 0);
    if (code == nullptr) PyErr_Clear();
    return code;
}

}  // namespace pycds::loader
