#include "client/builder/interned_dict.h"

#include <Python.h>
#include <link.h>

#include <cstdint>

#include "src/common/os/readable_memory.h"

namespace pycds::builder {
namespace {

struct Search {
    PyObject* probe = nullptr;  // interned, and in no dict but the one looked for
    const void* found = nullptr;
};

// Is there a dict object at `address`? Data holds all kinds of numbers, also addresses in what
// AddressSanitizer keeps for itself, which it cannot check.
[[gnu::no_sanitize_address]] bool is_dict(uint64_t address) {
    static_assert(sizeof(PyObject) == 16);
    if (!is_readable(address)) return false;
    // One that nobody refers to waits in the list of free dicts, without a table.
    const auto* object = reinterpret_cast<const PyObject*>(address);
    return object->ob_type == &PyDict_Type && object->ob_refcnt > 0;
}

void search(const uint64_t* begin, const uint64_t* end, Search* search) {
    for (const uint64_t* word = begin; word < end && search->found == nullptr; ++word) {
        const uint64_t value = *word;
        // Objects are 16-byte aligned and not in the first pages.
        if (value < 0x10000 || value % 16 != 0 || value >> 47 != 0 || !is_dict(value)) continue;
        auto* dict = reinterpret_cast<PyObject*>(value);
        if (PyDict_GetItemWithError(dict, search->probe) == search->probe) search->found = word;
        PyErr_Clear();
    }
}

int visit(dl_phdr_info* info, size_t, void* context) {
    auto* wanted = static_cast<Search*>(context);
    const auto inside = reinterpret_cast<uint64_t>(&PyUnicode_Type);
    bool is_interpreter = false;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = info->dlpi_phdr[i];
        const uint64_t begin = info->dlpi_addr + segment.p_vaddr;
        is_interpreter |= segment.p_type == PT_LOAD && inside - begin < segment.p_memsz;
    }
    if (!is_interpreter) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) == 0) continue;
        const uint64_t begin = (info->dlpi_addr + segment.p_vaddr + 7) & ~uint64_t{7};
        const uint64_t end = (info->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~uint64_t{7};
        search(reinterpret_cast<const uint64_t*>(begin), reinterpret_cast<const uint64_t*>(end),
               wanted);
    }
    return 1;
}

}  // namespace

const void* find_interned_dict_variable() {
    Search wanted;
    wanted.probe = PyUnicode_InternFromString("pycds: a string that nobody else interns");
    if (wanted.probe == nullptr) {
        PyErr_Clear();
        return nullptr;
    }
    dl_iterate_phdr(visit, &wanted);
    Py_DECREF(wanted.probe);
    return wanted.found;
}

}  // namespace pycds::builder
