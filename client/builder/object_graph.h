// The objects of an image before they have addresses: what is in it, of which kind, who refers to
// whom. Dump time's "source" objects are those of the builder's own heap.
#pragma once

#include <Python.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "src/common/image/format.h"

namespace pycds::builder {

// What a slot refers to: another object of the image, or something of the interpreter.
struct Reference {
    static constexpr uint32_t kExternal = 0xffffffffU;
    uint32_t node = kExternal;
    uint64_t address = 0;  // of the external thing, as the image has it; else bytes behind the object's start
};

struct Node {
    PyObject* source = nullptr;  // borrowed: the modules' code objects keep everything alive
    image::TypeIndex type{};
    image::RegionKind region{};
    uint64_t size = 0;        // bytes, what lies behind a frozenset included
    uint64_t offset = 0;      // in the image; set by the layout
    bool at_startup = false;  // a string that every process has interned when the client starts
    bool filled = false;      // a frozenset with its table; slots are in the order of that
    uint32_t first_reference = 0;
    uint32_t reference_count = 0;  // in the order of the object's slots
};

struct Module {
    std::string path;
    uint32_t code = 0;        // node
    uint32_t first_node = 0;  // nodes made for this module: [first_node, first_node + node_count)
    uint32_t node_count = 0;
    PyObject* owner = nullptr;  // strong reference to the code object
};

class ObjectGraph {
  public:
    // Frozensets are filled in an image for processes with the builder's hash seed.
    explicit ObjectGraph(bool fills_frozensets = false) : fills_frozensets_(fills_frozensets) {}
    ObjectGraph(const ObjectGraph&) = delete;
    ObjectGraph& operator=(const ObjectGraph&) = delete;
    ~ObjectGraph();

    bool fills_frozensets() const { return fills_frozensets_; }

    // Takes note of the strings that are interned now, before any module is added (`interned`: the
    // interpreter's dict of them, or nullptr).
    void note_startup_strings(PyObject* interned);

    // Adds a module's code object (a strong reference, taken over) with all that it refers to.
    // `twin` is the same module with tuples in place of frozensets, or nullptr if it has none
    // (borrowed). False, and nothing added, if a constant is of a type that no compiler writes;
    // no Python exception is left set.
    bool add_module(const std::string& path, PyObject* code, PyObject* twin);

    std::vector<Node>& nodes() { return nodes_; }
    const std::vector<Node>& nodes() const { return nodes_; }
    const std::vector<Module>& modules() const { return modules_; }
    const Reference* references(const Node& node) const {
        return references_.data() + node.first_reference;
    }

    // Adds a compiled pattern (PatternRecord; borrowed, must stay alive): a tuple of numbers,
    // bytes, tuples and strings that are not interned. False, and nothing added, if it is anything
    // else.
    bool add_pattern(PyObject* entry);
    const std::vector<uint32_t>& patterns() const { return patterns_; }

    // Takes note of a constant of an added module that will be hashed when the module runs.
    void note_hashed(PyObject* constant) { hashed_.insert(constant); }
    bool is_noted_as_hashed(const Node& node) const { return hashed_.count(node.source) != 0; }

    // The node of an interned string of that text, or Reference::kExternal.
    uint32_t find_interned(const std::string& text) const;

    // Is this the image's one copy of a string that CPython interns?
    static bool is_interned(const Node& node) {
        return node.region == image::RegionKind::kStrInterned;
    }

  private:
    class Visitor;

    std::vector<Node> nodes_;
    std::vector<Reference> references_;
    std::vector<Module> modules_;
    std::vector<uint32_t> patterns_;  // nodes of entries
    std::unordered_set<PyObject*> hashed_;
    // Shared between modules: canonical strings by identity, tables of code objects by content.
    std::unordered_map<PyObject*, uint32_t> interned_;
    std::unordered_set<PyObject*> startup_strings_;
    std::unordered_map<std::string_view, uint32_t> tables_;
    const bool fills_frozensets_;
    uint32_t no_names_ = Reference::kExternal;  // node of the empty tuple of names, if there is one
};

}  // namespace pycds::builder
