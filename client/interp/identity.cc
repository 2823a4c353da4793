#include "client/interp/identity.h"

#include <Python.h>
#include <elf.h>
#include <link.h>

#include <cstring>

#include "client/interp/common_layout.h"
#include "client/interp/internals.h"
#include "src/common/os/readable_memory.h"

namespace pycds::interp {
namespace {

struct ElfObject {
    uint64_t address_inside;
    bool found = false;
    uint64_t load_base = 0;
    unsigned char build_id[32] = {};
    uint32_t build_id_size = 0;
};

// elf(5), "Notes": name and descriptor are padded to 4 bytes each.
void read_build_id(const unsigned char* note, size_t size, ElfObject* out) {
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) header;
        std::memcpy(&header, note, sizeof header);
        const size_t name = (header.n_namesz + 3UL) & ~3UL;
        const size_t descriptor = (header.n_descsz + 3UL) & ~3UL;
        const size_t whole = sizeof header + name + descriptor;
        if (whole > size) return;
        if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
            std::memcmp(note + sizeof header, "GNU", 4) == 0 &&
            header.n_descsz <= sizeof out->build_id) {
            std::memcpy(out->build_id, note + sizeof header + name, header.n_descsz);
            out->build_id_size = header.n_descsz;
            return;
        }
        note += whole;
        size -= whole;
    }
}

// From the first writable segment of the interpreter to the end of the last.
constinit struct { uint64_t begin, end; } interpreter_data = {0, 0};

int visit_object(dl_phdr_info* info, size_t, void* context) {
    auto* out = static_cast<ElfObject*>(context);
    bool inside = false;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD) continue;
        const uint64_t begin = info->dlpi_addr + segment.p_vaddr;
        inside |= out->address_inside >= begin && out->address_inside < begin + segment.p_memsz;
    }
    if (!inside) return 0;
    out->found = true;
    out->load_base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) == 0) continue;
        const uint64_t begin = info->dlpi_addr + segment.p_vaddr;
        const uint64_t end = begin + segment.p_memsz;
        if (interpreter_data.end == 0 || begin < interpreter_data.begin)
            interpreter_data.begin = begin;
        if (end > interpreter_data.end) interpreter_data.end = end;
    }
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_NOTE || out->build_id_size != 0) continue;
        read_build_id(reinterpret_cast<const unsigned char*>(info->dlpi_addr + segment.p_vaddr),
                      segment.p_memsz, out);
    }
    return 1;
}

// The headers that this file was compiled with describe the interpreter that runs it: where they
// disagree, nothing else here can be believed.
bool layout_matches() {
    return PyUnicode_Type.tp_basicsize == static_cast<Py_ssize_t>(sizeof(PyUnicodeObject)) &&
           PyBytes_Type.tp_basicsize == static_cast<Py_ssize_t>(kBytesData + 1) &&
           PyTuple_Type.tp_basicsize == static_cast<Py_ssize_t>(kTupleItems) &&
           PyTuple_Type.tp_itemsize == sizeof(PyObject*) &&
           PyFrozenSet_Type.tp_basicsize == static_cast<Py_ssize_t>(sizeof(PySetObject)) &&
           PyFloat_Type.tp_basicsize == static_cast<Py_ssize_t>(sizeof(PyFloatObject)) &&
           PyComplex_Type.tp_basicsize == static_cast<Py_ssize_t>(sizeof(PyComplexObject)) &&
           PyCode_Type.tp_basicsize ==
               static_cast<Py_ssize_t>(kCodeHeaderSize) &&
           PyCode_Type.tp_itemsize == static_cast<Py_ssize_t>(kCodeUnitSize);
}

}  // namespace

Refusal identify_interpreter(image::InterpreterIdentity* identity, uint64_t* runtime_base) {
    std::memset(identity, 0, sizeof *identity);
    if (!is_version_compiled_for()) return "client-for-another-version";
    // A debug or trace-refs build has other object headers (Include/object.h).
    if (PySys_GetObject("gettotalrefcount") != nullptr) return "debug-build";
    if (PySys_GetObject("getobjects") != nullptr) return "trace-refs-build";
    if (!layout_matches()) return "layout-mismatch";

    ElfObject object;
    object.address_inside = reinterpret_cast<uint64_t>(&PyUnicode_Type);
    dl_iterate_phdr(visit_object, &object);
    if (!object.found || object.build_id_size == 0) return "no-build-id";
    std::memcpy(identity->build_id, object.build_id, object.build_id_size);
    identity->build_id_size = object.build_id_size;
    identity->hexversion = PY_VERSION_HEX;
    identity->magic_number = static_cast<uint32_t>(PyImport_GetMagicNumber());
    const int optimize = pycds_optimization_level();
    if (optimize < 0 || optimize > 2) return "optimization-level";
    identity->optimize = static_cast<uint8_t>(optimize);
    identity->debug_ranges = pycds_debug_ranges() != 0;
    identity->pointer_size = sizeof(void*);
    identity->digit_bits = PYLONG_BITS_IN_DIGIT;
    identity->layout_digest = kLayoutDigest;
    const char* tag = PyImport_GetMagicTag();
    if (tag == nullptr || std::strlen(tag) >= sizeof identity->cache_tag) return "no-cache-tag";
    std::memcpy(identity->cache_tag, tag, std::strlen(tag));
    *runtime_base = object.load_base;
    return nullptr;
}

bool in_interpreter_data(uint64_t address, uint64_t size) {
    return address % sizeof(void*) == 0 && address >= interpreter_data.begin &&
           interpreter_data.end - interpreter_data.begin >= size &&
           address <= interpreter_data.end - size;
}

[[gnu::no_sanitize_address]] void* dict_of_variable(const void* variable) {
    const auto address = reinterpret_cast<uint64_t>(variable);
    if (!in_interpreter_data(address, sizeof(void*)) || !is_readable(address / 16 * 16)) {
        return nullptr;
    }
    PyObject* const object = *static_cast<PyObject* const*>(variable);
    const auto at = reinterpret_cast<uint64_t>(object);
    if (at % 16 != 0 || !is_readable(at) || object->ob_type != &PyDict_Type) return nullptr;
    return object;
}

const void* type_address(image::TypeIndex index) {
    using image::TypeIndex;
    switch (index) {
        case TypeIndex::kStr: return &PyUnicode_Type;
        case TypeIndex::kBytes: return &PyBytes_Type;
        case TypeIndex::kInt: return &PyLong_Type;
        case TypeIndex::kFloat: return &PyFloat_Type;
        case TypeIndex::kComplex: return &PyComplex_Type;
        case TypeIndex::kTuple: return &PyTuple_Type;
        case TypeIndex::kFrozenset: return &PyFrozenSet_Type;
        case TypeIndex::kCode: return &PyCode_Type;
        case TypeIndex::kSlice: return &PySlice_Type;
        case TypeIndex::kCount: break;
    }
    return nullptr;
}

const void* singleton_address(image::SingletonIndex index) {
    using image::SingletonIndex;
    switch (index) {
        case SingletonIndex::kNone: return Py_None;
        case SingletonIndex::kTrue: return Py_True;
        case SingletonIndex::kFalse: return Py_False;
        case SingletonIndex::kEllipsis: return Py_Ellipsis;
        case SingletonIndex::kCount: break;
    }
    return nullptr;
}

namespace {

using image::HeapSingleton;

constexpr uint64_t number_of(HeapSingleton first) { return static_cast<uint64_t>(first); }

// A new reference, or nullptr with an exception.
PyObject* find_or_make(uint64_t number) {
    if (number < number_of(HeapSingleton::kCharacters)) {
        return PyLong_FromLong(static_cast<long>(number) + image::kLowestSmallInt);
    }
    if (number < number_of(HeapSingleton::kBytes)) {
        return PyUnicode_FromOrdinal(static_cast<int>(number - number_of(HeapSingleton::kCharacters)));
    }
    if (number < number_of(HeapSingleton::kEmptyStr)) {
        const char byte = static_cast<char>(number - number_of(HeapSingleton::kBytes));
        return PyBytes_FromStringAndSize(&byte, 1);
    }
    switch (static_cast<HeapSingleton>(number)) {
        case HeapSingleton::kEmptyStr: return PyUnicode_New(0, 0);
        case HeapSingleton::kEmptyBytes: return PyBytes_FromStringAndSize(nullptr, 0);
        case HeapSingleton::kEmptyTuple: return PyTuple_New(0);
        case HeapSingleton::kEmptyFrozenset:
            // PyFrozenSet_New() makes another one (Objects/setobject.c frozenset_new()).
            return PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyFrozenSet_Type));
        default: return nullptr;
    }
}

// The number of the singleton that a value is if it is one; kCount if it is none.
uint64_t number_by_value(PyObject* object) {
    if (PyLong_CheckExact(object)) {
        int overflow = 0;
        const long value = PyLong_AsLongAndOverflow(object, &overflow);
        const long number = value - image::kLowestSmallInt;
        if (overflow == 0 && number >= 0 && number < image::kSmallInts) return static_cast<uint64_t>(number);
    } else if (PyUnicode_CheckExact(object)) {
        if (PyUnicode_GET_LENGTH(object) == 0) return number_of(HeapSingleton::kEmptyStr);
        const Py_UCS4 first = PyUnicode_READ_CHAR(object, 0);
        if (PyUnicode_GET_LENGTH(object) == 1 && first < 256) {
            return number_of(HeapSingleton::kCharacters) + first;
        }
    } else if (PyBytes_CheckExact(object)) {
        if (PyBytes_GET_SIZE(object) == 0) return number_of(HeapSingleton::kEmptyBytes);
        if (PyBytes_GET_SIZE(object) == 1) {
            return number_of(HeapSingleton::kBytes) +
                   static_cast<unsigned char>(PyBytes_AS_STRING(object)[0]);
        }
    } else if (PyTuple_CheckExact(object)) {
        if (PyTuple_GET_SIZE(object) == 0) return number_of(HeapSingleton::kEmptyTuple);
    } else if (PyFrozenSet_CheckExact(object)) {
        if (PySet_GET_SIZE(object) == 0) return number_of(HeapSingleton::kEmptyFrozenset);
    }
    return number_of(HeapSingleton::kCount);
}

}  // namespace

PyObject* heap_singleton(uint64_t number) {
    if constexpr (kHasHeapSingletons) {
        static constinit PyObject* known[number_of(HeapSingleton::kCount)] = {};
        if (number >= number_of(HeapSingleton::kCount)) return nullptr;
        if (number == number_of(HeapSingleton::kEmptyFrozenset) && !kEmptyFrozensetIsSingleton) {
            return nullptr;
        }
        if (known[number] == nullptr) {
            known[number] = find_or_make(number);
            if (known[number] == nullptr) PyErr_Clear();
        }
        return known[number];
    }
    return nullptr;
}

uint64_t hash_probe() {
    PyObject* text = PyUnicode_FromString(image::kHashProbe);
    const Py_hash_t hash = text == nullptr ? -1 : PyObject_Hash(text);
    Py_XDECREF(text);
    PyErr_Clear();
    return hash == -1 ? 0 : static_cast<uint64_t>(hash);
}

bool find_heap_singleton(PyObject* object, uint64_t* number) {
    if (!kHasHeapSingletons) return false;
    *number = number_by_value(object);
    return heap_singleton(*number) == object;
}

}  // namespace pycds::interp
