#include "client/builder/object_graph.h"

#include <cmath>
#include <new>

#include "client/interp/common_layout.h"
#include "client/interp/identity.h"
#include "client/interp/internals.h"

namespace pycds::builder {
namespace {

using image::RegionKind;
using image::TypeIndex;

PyObject* pointer_at(const void* object, size_t offset) {
    return *reinterpret_cast<PyObject* const*>(static_cast<const char*>(object) + offset);
}

// The address under which the image refers to a thing of the interpreter's that is never copied, or 0: the
// singletons, and what is statically allocated in _PyRuntime (small ints, one-character strings, empty
// string, bytes and tuple, names like "__init__"), or as a string of a frozen module; or of that what
// older versions have on the heap.
uint64_t external_address(PyObject* object) {
    const auto address = reinterpret_cast<uint64_t>(object);
    if (object == Py_None || object == Py_True || object == Py_False || object == Py_Ellipsis) {
        return address;
    }
    uint64_t number = 0;
    if (interp::find_heap_singleton(object, &number)) return image::heap_singleton_address(number);
    const auto runtime = reinterpret_cast<uint64_t>(pycds_runtime_address());
    const bool known = address - runtime < pycds_runtime_size() || pycds_is_static_string(object);
    return known ? address : 0;
}

bool is_external(PyObject* object) {
    return external_address(object) != 0;
}

bool has_exact_type(PyObject* object, TypeIndex index) {
    return static_cast<const void*>(Py_TYPE(object)) == interp::type_address(index);
}

// Tuples, and slices, whose three members are like items.
bool is_sequence(PyObject* object) { return PyTuple_CheckExact(object) || PySlice_Check(object); }

size_t item_count(PyObject* sequence) {
    return PySlice_Check(sequence) ? interp::kSliceItemCount
                                   : static_cast<size_t>(PyTuple_GET_SIZE(sequence));
}

PyObject* item(PyObject* sequence, size_t index) {
    const size_t first = PySlice_Check(sequence) ? interp::kSliceItems : interp::kTupleItems;
    return pointer_at(sequence, first + index * sizeof(PyObject*));
}

bool is_interned_string(PyObject* object) {
    return PyUnicode_CheckExact(object) && PyUnicode_CHECK_INTERNED(object) != 0;
}

bool runs_once(const PyCodeObject* code) {
    // Only functions have CO_OPTIMIZED; what is left is module and class bodies (and exec'd code).
    return (code->co_flags & CO_OPTIMIZED) == 0;
}

// Elements of a frozenset in the order of the stream. `twin` holds equal values in that order; the
// image wants the frozenset's own elements.
bool ordered_elements(PyObject* frozenset, PyObject* twin, std::vector<PyObject*>* out) {
    PyObject* by_value = PyDict_New();
    PyObject* iterator = by_value != nullptr ? PyObject_GetIter(frozenset) : nullptr;
    bool ok = iterator != nullptr;
    while (ok) {
        PyObject* element = PyIter_Next(iterator);
        if (element == nullptr) break;
        ok = PyDict_SetItem(by_value, element, element) == 0;
        Py_DECREF(element);  // the frozenset keeps it
    }
    ok = ok && !PyErr_Occurred() && PyTuple_CheckExact(twin);
    for (Py_ssize_t i = 0; ok && i < PyTuple_GET_SIZE(twin); ++i) {
        PyObject* element = PyDict_GetItemWithError(by_value, PyTuple_GET_ITEM(twin, i));
        if (element == nullptr) {
            // A repeated element was already emitted and taken out below; a foreign one cannot be.
            ok = !PyErr_Occurred();
            continue;
        }
        out->push_back(element);
        ok = PyDict_DelItem(by_value, element) == 0;
    }
    ok = ok && static_cast<Py_ssize_t>(out->size()) == PySet_GET_SIZE(frozenset);
    PyErr_Clear();
    Py_XDECREF(iterator);
    Py_XDECREF(by_value);
    return ok;
}

// Does everything reachable from `object` have a type that an image can hold?
class Checker {
  public:
    // Without a twin nobody knows the order of a frozenset's elements.
    explicit Checker(bool has_twin) : has_twin_(has_twin) {}

    bool acceptable(PyObject* object) {
        if (object == nullptr) return false;
        if (is_external(object) || !seen_.insert(object).second) return true;
        if (PyUnicode_CheckExact(object)) return PyUnicode_IS_COMPACT(object);
        if (PyBytes_CheckExact(object) || PyLong_CheckExact(object) || PyFloat_CheckExact(object) ||
            PyComplex_CheckExact(object)) {
            return true;
        }
        if (is_sequence(object)) {
            for (size_t i = 0; i < item_count(object); ++i) {
                if (!acceptable(item(object, i))) return false;
            }
            return true;
        }
        if (PyFrozenSet_CheckExact(object)) return has_twin_ && elements_acceptable(object);
        if (PyCode_Check(object)) {
            for (const size_t offset : interp::kCodePointers) {
                if (!acceptable(pointer_at(object, offset))) return false;
            }
            return true;
        }
        return false;
    }

  private:
    bool elements_acceptable(PyObject* frozenset) {
        PyObject* iterator = PyObject_GetIter(frozenset);
        bool ok = iterator != nullptr;
        while (ok) {
            PyObject* element = PyIter_Next(iterator);
            if (element == nullptr) break;
            ok = acceptable(element);
            Py_DECREF(element);
        }
        Py_XDECREF(iterator);
        PyErr_Clear();
        return ok;
    }

    bool has_twin_;
    std::unordered_set<PyObject*> seen_;
};

// Made of tuples of numbers, bytes and strings, none of which is interned?
bool is_plain(PyObject* object) {
    if (is_external(object) || PyBytes_CheckExact(object) || PyLong_CheckExact(object)) return true;
    if (PyUnicode_CheckExact(object)) return !is_interned_string(object);
    if (!PyTuple_CheckExact(object)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); ++i) {
        if (!is_plain(PyTuple_GET_ITEM(object, i))) return false;
    }
    return true;
}

// Does its hash depend on its value and the hash seed alone? That of a NaN is by its address, from 3.10 on.
bool has_fixed_hash(PyObject* object) {
    if (object == Py_None) return interp::kNoneHasFixedHash;
    if (PyUnicode_CheckExact(object) || PyBytes_CheckExact(object) || PyLong_CheckExact(object) ||
        PyBool_Check(object)) {
        return true;
    }
    if (PyFloat_CheckExact(object)) return !std::isnan(PyFloat_AS_DOUBLE(object));
    if (PyComplex_CheckExact(object)) {
        return !std::isnan(PyComplex_RealAsDouble(object)) && !std::isnan(PyComplex_ImagAsDouble(object));
    }
    if (!PyTuple_CheckExact(object)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); ++i) {
        if (!has_fixed_hash(PyTuple_GET_ITEM(object, i))) return false;
    }
    return true;
}

// Is its table what any process with this hash seed makes of it? The source was filled by unmarshalling,
// which is all that the order of insertion depends on.
bool has_fixed_table(const PySetObject* set) {
    if (set->fill != set->used) return false;
    for (size_t i = 0; i < interp::table_entries(set); ++i) {
        PyObject* key = set->table[i].key;
        if (key != nullptr && !has_fixed_hash(key)) return false;
    }
    return true;
}

// The order of elements must be known for every frozenset before anything is added.
bool frozensets_ordered(PyObject* object, PyObject* twin, std::unordered_set<PyObject*>* seen) {
    if (twin == nullptr || is_external(object) || !seen->insert(object).second) return true;
    if (is_sequence(object)) {
        if (Py_TYPE(twin) != Py_TYPE(object) || item_count(twin) != item_count(object)) return false;
        for (size_t i = 0; i < item_count(object); ++i) {
            if (!frozensets_ordered(item(object, i), item(twin, i), seen)) return false;
        }
        return true;
    }
    if (PyFrozenSet_CheckExact(object)) {
        std::vector<PyObject*> elements;
        return ordered_elements(object, twin, &elements);
    }
    if (PyCode_Check(object)) {
        if (!PyCode_Check(twin)) return false;
        return frozensets_ordered(reinterpret_cast<PyCodeObject*>(object)->co_consts,
                                  reinterpret_cast<PyCodeObject*>(twin)->co_consts, seen);
    }
    return true;
}

}  // namespace

// Adds one module's objects, depth first, so that what belongs together lies together.
class ObjectGraph::Visitor {
  public:
    explicit Visitor(ObjectGraph* graph) : graph_(graph) {}

    Reference visit(PyObject* object, PyObject* twin, RegionKind region_hint) {
        const uint64_t external = external_address(object);
        if (external != 0) return {Reference::kExternal, external};
        if (is_interned_string(object)) return {interned(object), 0};
        const auto known = seen_.find(object);
        if (known != seen_.end()) return {known->second, 0};
        if (is_sequence(object)) return {sequence(object, twin, region_hint), 0};
        if (PyFrozenSet_CheckExact(object)) return {frozenset(object, twin), 0};
        if (PyCode_Check(object)) return {code(object, twin), 0};
        return {leaf(object, region_hint), 0};
    }

  private:
    uint32_t add(PyObject* object, TypeIndex type, RegionKind region, uint64_t size) {
        const auto node = static_cast<uint32_t>(graph_->nodes_.size());
        Node made;
        made.source = object;
        made.type = type;
        made.region = region;
        made.size = size;
        graph_->nodes_.push_back(made);
        seen_.emplace(object, node);
        return node;
    }

    // Slots are reserved before children are visited, so that a node's references are contiguous.
    uint32_t reserve_references(uint32_t node, size_t count) {
        const auto first = static_cast<uint32_t>(graph_->references_.size());
        graph_->nodes_[node].first_reference = first;
        graph_->nodes_[node].reference_count = static_cast<uint32_t>(count);
        graph_->references_.resize(first + count);
        return first;
    }

    uint32_t interned(PyObject* object) {
        const auto known = graph_->interned_.find(object);
        if (known != graph_->interned_.end()) return known->second;
        const uint32_t node =
            add(object, TypeIndex::kStr, RegionKind::kStrInterned, interp::str_size(object));
        graph_->nodes_[node].at_startup = graph_->startup_strings_.count(object) != 0;
        graph_->interned_.emplace(object, node);
        return node;
    }

    uint32_t leaf(PyObject* object, RegionKind hint) {
        if (PyUnicode_CheckExact(object)) {
            const RegionKind region =
                hint == RegionKind::kStrDoc ? RegionKind::kStrDoc : RegionKind::kStrOther;
            return add(object, TypeIndex::kStr, region, interp::str_size(object));
        }
        if (PyBytes_CheckExact(object)) {
            return add(object, TypeIndex::kBytes, RegionKind::kBytes, interp::bytes_size(object));
        }
        if (PyFloat_CheckExact(object)) {
            return add(object, TypeIndex::kFloat, RegionKind::kNumbers, sizeof(PyFloatObject));
        }
        if (PyComplex_CheckExact(object)) {
            return add(object, TypeIndex::kComplex, RegionKind::kNumbers, sizeof(PyComplexObject));
        }
        return add(object, TypeIndex::kInt, RegionKind::kNumbers, interp::int_size(object));
    }

    // Line tables and the like are equal in many modules and nobody compares them by identity. Large
    // ones are not by chance, but because one of two modules is a copy of the other, and hardly anybody has
    // both: where modules are relocated, one that has it to itself need not keep it (Placement).
    uint32_t table(PyObject* object) {
        constexpr size_t kLargestShared = 64;  // bytes
        const std::string_view content(PyBytes_AS_STRING(object),
                                       static_cast<size_t>(PyBytes_GET_SIZE(object)));
        if (content.size() > kLargestShared) return leaf(object, RegionKind::kBytes);
        const auto known = graph_->tables_.find(content);
        if (known != graph_->tables_.end()) {
            seen_.emplace(object, known->second);
            return known->second;
        }
        const uint32_t node = leaf(object, RegionKind::kBytes);
        graph_->tables_.emplace(content, node);
        return node;
    }

    uint32_t sequence(PyObject* object, PyObject* twin, RegionKind hint) {
        const RegionKind region =
            hint == RegionKind::kTupleNames ? RegionKind::kTupleNames : RegionKind::kTupleConsts;
        const uint32_t node =
            PySlice_Check(object)
                ? add(object, TypeIndex::kSlice, RegionKind::kTupleConsts, sizeof(PySliceObject))
                : add(object, TypeIndex::kTuple, region, interp::tuple_size(object));
        const size_t count = item_count(object);
        const uint32_t first = reserve_references(node, count);
        for (size_t i = 0; i < count; ++i) {
            PyObject* twin_item = twin == nullptr ? nullptr : item(twin, i);
            graph_->references_[first + i] =
                visit(item(object, i), twin_item, RegionKind::kTupleConsts);
        }
        return node;
    }

    uint32_t frozenset(PyObject* object, PyObject* twin) {
        const auto* set = reinterpret_cast<PySetObject*>(object);
        if (graph_->fills_frozensets_ && has_fixed_table(set)) return filled_frozenset(object, set);
        std::vector<PyObject*> elements;
        ordered_elements(object, twin, &elements);
        const uint32_t node = add(object, TypeIndex::kFrozenset, RegionKind::kFrozensets,
                                  interp::kFrozensetSize + elements.size() * sizeof(PyObject*));
        const uint32_t first = reserve_references(node, elements.size());
        for (size_t i = 0; i < elements.size(); ++i) {
            graph_->references_[first + i] = visit(elements[i], nullptr, RegionKind::kTupleConsts);
        }
        return node;
    }

    uint32_t filled_frozenset(PyObject* object, const PySetObject* set) {
        const size_t behind = interp::has_small_table(set) ? 0 : interp::table_entries(set) * sizeof(setentry);
        const uint32_t node =
            add(object, TypeIndex::kFrozenset, RegionKind::kFrozensets, interp::kFrozensetSize + behind);
        graph_->nodes_[node].filled = true;
        uint32_t slot = reserve_references(node, static_cast<size_t>(set->used));
        for (size_t i = 0; i < interp::table_entries(set); ++i) {
            PyObject* key = set->table[i].key;
            if (key == nullptr) continue;
            graph_->references_[slot++] = visit(key, nullptr, RegionKind::kTupleConsts);
        }
        return node;
    }

    static bool has_name(const PyCodeObject* code, const char* name) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_names); ++i) {
            if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(code->co_names, i), name) == 0) {
                return true;
            }
        }
        return false;
    }

    // Where a compiler puts the docstring: the first constant of a function or module, the second
    // of a class (after its qualified name). A wrong guess costs locality only. From 3.14 on the first
    // constant of a function without one is any other.
    static Py_ssize_t docstring_index(const PyCodeObject* code) {
#ifdef CO_HAS_DOCSTRING
        if (!runs_once(code) && (code->co_flags & CO_HAS_DOCSTRING) == 0) return -1;
#endif
        if (runs_once(code) && !has_name(code, "__doc__")) return -1;
        PyObject* consts = code->co_consts;
        for (Py_ssize_t i = 0; i < 2 && i < PyTuple_GET_SIZE(consts); ++i) {
            PyObject* constant = PyTuple_GET_ITEM(consts, i);
            if (PyUnicode_CheckExact(constant) && !is_interned_string(constant) &&
                !is_external(constant)) {
                return i;
            }
            if (!runs_once(code)) break;
        }
        return -1;
    }

    uint32_t code(PyObject* object, PyObject* twin) {
        auto* source = reinterpret_cast<PyCodeObject*>(object);
        const RegionKind region =
            runs_once(source) ? RegionKind::kCodeRunOnce : RegionKind::kCodeFunctions;
        const uint32_t node = add(object, TypeIndex::kCode, region, interp::code_size(source));
        const size_t array_size = interp::code_array_size(source);
        const uint32_t first =
            reserve_references(node, std::size(interp::kCodePointers) + (array_size != 0 ? 1 : 0));
        const Py_ssize_t doc = docstring_index(source);
        if (doc >= 0) visit(PyTuple_GET_ITEM(source->co_consts, doc), nullptr, RegionKind::kStrDoc);
        size_t i = 0;
        for (const size_t offset : interp::kCodePointers) {
            graph_->references_[first + i++] = code_member(source, twin, offset);
        }
        if (array_size != 0) {
            graph_->references_[first + i] = {array(pointer_at(source, interp::kCodeArray), array_size),
                                              interp::kBytesData};
        }
        return node;
    }

    Reference code_member(PyCodeObject* source, PyObject* twin, size_t offset) {
        PyObject* member = pointer_at(source, offset);
        if (offset == offsetof(PyCodeObject, co_consts)) {
            PyObject* twin_consts =
                twin == nullptr ? nullptr : reinterpret_cast<PyCodeObject*>(twin)->co_consts;
            return visit(member, twin_consts, RegionKind::kTupleConsts);
        }
        // Singletons on the heap too: who is who among tables and tuples of names nobody asks, and an
        // address that each process has to find out is a page written.
        const bool copied = interp::kHasHeapSingletons || !is_external(member);
        if (PyBytes_CheckExact(member) && copied) return {table(member), 0};
        if (PyTuple_CheckExact(member) && PyTuple_GET_SIZE(member) == 0 && copied) {
            if (graph_->no_names_ == Reference::kExternal) {
                graph_->no_names_ = sequence(member, nullptr, RegionKind::kTupleNames);
            }
            return {graph_->no_names_, 0};
        }
        return visit(member, nullptr, RegionKind::kTupleNames);
    }

    // What is no object in CPython lies in a bytes object's contents.
    uint32_t array(const void* data, size_t size) {
        // Nobody gives it back: the graph refers to its contents.
        PyObject* bytes =
            PyBytes_FromStringAndSize(static_cast<const char*>(data), static_cast<Py_ssize_t>(size));
        if (bytes == nullptr) throw std::bad_alloc();
        return table(bytes);
    }

    ObjectGraph* graph_;
    std::unordered_map<PyObject*, uint32_t> seen_;
};

ObjectGraph::~ObjectGraph() {
    for (const Module& module : modules_) Py_XDECREF(module.owner);
}

void ObjectGraph::note_startup_strings(PyObject* interned) {
    if (interned == nullptr) return;
    Py_ssize_t position = 0;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    while (PyDict_Next(interned, &position, &key, &value)) startup_strings_.insert(value);
}

bool ObjectGraph::add_pattern(PyObject* entry) {
    if (!PyTuple_CheckExact(entry) || !is_plain(entry)) return false;
    patterns_.push_back(Visitor(this).visit(entry, nullptr, RegionKind::kTupleConsts).node);
    return true;
}

uint32_t ObjectGraph::find_interned(const std::string& text) const {
    PyObject* string = PyUnicode_InternFromString(text.c_str());
    if (string == nullptr) {
        PyErr_Clear();
        return Reference::kExternal;
    }
    const auto known = interned_.find(string);
    Py_DECREF(string);
    return known == interned_.end() ? Reference::kExternal : known->second;
}

bool ObjectGraph::add_module(const std::string& path, PyObject* code, PyObject* twin) {
    std::unordered_set<PyObject*> seen;
    if (!has_exact_type(code, TypeIndex::kCode) || !Checker(twin != nullptr).acceptable(code) ||
        !frozensets_ordered(code, twin, &seen)) {
        PyErr_Clear();
        Py_DECREF(code);
        return false;
    }
    Module module;
    module.path = path;
    module.owner = code;
    module.first_node = static_cast<uint32_t>(nodes_.size());
    module.code = Visitor(this).visit(code, twin, RegionKind::kCodeRunOnce).node;
    module.node_count = static_cast<uint32_t>(nodes_.size()) - module.first_node;
    modules_.push_back(std::move(module));
    return true;
}

}  // namespace pycds::builder
