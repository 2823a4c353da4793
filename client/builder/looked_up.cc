#include "client/builder/looked_up.h"

#include "client/interp/common_layout.h"
#include "client/interp/internals.h"

namespace pycds::builder {
namespace {

using image::TypeIndex;

class Search {
  public:
    explicit Search(const ObjectGraph& graph) : graph_(graph), found_(graph.nodes().size(), false) {}

    std::vector<bool> run() {
        for (const Node& node : graph_.nodes()) {
            if (node.type == TypeIndex::kCode) visit_code(node);
        }
        // What CPython compares by address it may compare wherever the string comes from.
        for (uint32_t n = 0; n < graph_.nodes().size(); ++n) {
            const Node& node = graph_.nodes()[n];
            if (ObjectGraph::is_interned(node) && pycds_is_compared_name(node.source)) found_[n] = true;
        }
        return std::move(found_);
    }

  private:
    void visit_code(const Node& node) {
        const auto* code = reinterpret_cast<const PyCodeObject*>(node.source);
        const Reference* members = graph_.references(node);
        for (uint32_t i = 0; i < node.reference_count; ++i) {
            const size_t offset = interp::code_slot(i);
            if (offset == offsetof(PyCodeObject, co_filename)) continue;
            if (offset == interp::kCodeQualname) {
                // Outside classes it is the name.
                if (!has_dot(interp::qualname_of(code))) take(members[i]);
            } else if (offset == interp::kCodeVariables) {
                take_parameters(code, members[i]);
            } else if (!interp::are_cells(offset) || !is_function(code)) {
                take(members[i]);
            }
        }
    }

    // Keyword arguments are matched by name. Cells and free variables may be seen by name in a class
    // body (LOAD_CLASSDEREF, LOAD_FROM_DICT_OR_DEREF), so of code that is no function all count.
    void take_parameters(const PyCodeObject* code, const Reference& names) {
        if (names.node == Reference::kExternal) return;
        const Node& tuple = graph_.nodes()[names.node];
        const auto parameters = static_cast<uint32_t>(code->co_argcount + code->co_kwonlyargcount);
        const Reference* items = graph_.references(tuple);
        for (uint32_t i = 0; i < tuple.reference_count; ++i) {
            if (!is_function(code) || i < parameters) take(items[i]);
        }
    }

    void take(const Reference& reference) {
        if (reference.node == Reference::kExternal) return;
        const Node& node = graph_.nodes()[reference.node];
        if (node.type == TypeIndex::kStr) {
            if (ObjectGraph::is_interned(node)) found_[reference.node] = true;
            return;
        }
        if (node.type == TypeIndex::kCode) return;
        const Reference* items = graph_.references(node);
        for (uint32_t i = 0; i < node.reference_count; ++i) take(items[i]);
    }

    static bool is_function(const PyCodeObject* code) { return (code->co_flags & CO_OPTIMIZED) != 0; }

    static bool has_dot(PyObject* string) {
        return PyUnicode_FindChar(string, '.', 0, PyUnicode_GET_LENGTH(string), 1) >= 0;
    }

    const ObjectGraph& graph_;
    std::vector<bool> found_;
};

}  // namespace

std::vector<bool> looked_up_strings(const ObjectGraph& graph) { return Search(graph).run(); }

}  // namespace pycds::builder
