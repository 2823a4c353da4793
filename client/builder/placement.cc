#include "client/builder/placement.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "client/interp/common_layout.h"
#include "client/interp/internals.h"

namespace pycds::builder {
namespace {

using image::RegionKind;
using image::TypeIndex;

// How many modules there are to one that must use a string of the start to make it worth its place
// among those that every client takes over.
constexpr size_t kModulesPerUser = 512;

// A module that fewer programs import lies with its package, not with what everybody imports.
constexpr uint32_t kPopular = 6;
constexpr uint32_t popular(uint32_t programs) {
    return programs >= kPopular ? programs : 0;
}

// How many programs must import a module for it to have, of what unrecorded modules write, also
// that which it only refers to.
constexpr uint32_t kOften = 3;

const PyCodeObject* code_of(const Node& node) {
    return reinterpret_cast<const PyCodeObject*>(node.source);
}

bool is_function(const Node& node) {
    return (code_of(node)->co_flags & CO_OPTIMIZED) != 0;
}

std::string_view text_of(PyObject* string) {
    if (!PyUnicode_IS_COMPACT_ASCII(string)) return {};
    return {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(string)),
            static_cast<size_t>(PyUnicode_GET_LENGTH(string))};
}

constexpr char kModuleName[] = "<module>";

// As compiler_set_qualname() of Python/compile.c has it, but for names that are declared global, where the code
// object does not say.
std::string qualname_in(const std::string& parent_name, const Node& parent, const Node& child) {
    if (PyObject* known = interp::qualname_of(code_of(child))) return std::string(text_of(known));
    const std::string name(text_of(code_of(child)->co_name));
    if (parent_name == kModuleName) return name;
    return parent_name + (is_function(parent) ? ".<locals>." : ".") + name;
}

// Comprehensions and generator expressions are functions that run where they are made.
bool runs_where_it_is_made(std::string_view name) {
    return name == "<listcomp>" || name == "<setcomp>" || name == "<dictcomp>" ||
           name == "<genexpr>";
}

// "_Class__name": names of slots become keys of the class's namespace under that name.
bool is_mangled(std::string_view name) {
    return name.size() > 4 && name[0] == '_' && name[1] != '_' &&
           name.find("__", 2) != std::string_view::npos && !name.ends_with("__");
}

constexpr bool has_slots(TypeIndex type) {
    return type == TypeIndex::kTuple || type == TypeIndex::kFrozenset ||
           type == TypeIndex::kSlice || type == TypeIndex::kCode;
}

}  // namespace

Placement::Placement(const ObjectGraph& graph, const Profile& profile, bool by_module)
    : graph_(graph),
      profile_(profile),
      by_module_(by_module),
      heat_(graph.nodes().size(), kCold),
      users_(graph.nodes().size(), 0),
      main_user_(graph.nodes().size(), 0),
      main_user_programs_(graph.nodes().size(), 0),
      programs_(graph.nodes().size(), 0),
      hot_users_(graph.nodes().size(), 0),
      owner_(graph.nodes().size(), 0),
      owner_programs_(graph.nodes().size(), 0),
      last_hot_user_(graph.nodes().size(), 0xffffffffU),
      between_packages_(graph.nodes().size(), false),
      run_once_(graph.nodes().size(), false),
      shared_(graph.nodes().size(), false),
      popularity_(graph.nodes().size(), 0),
      visited_(graph.nodes().size(), false) {
    count_users();
    choose_first_strings();
    visit_modules();
    heat_recorded_keys();
    heat_what_is_redirected();
    move_to_main_users();
    if (by_module_) {
        assign_modules();
        find_run_once();
    }
}

// Bodies of modules, and of classes in them, with the tuples and tables that one slot of theirs refers to. Whose
// slot there is only one of can become a copy, and nobody sees two of what was one. Of patterns the engine's
// code, which nobody gets to see.
void Placement::find_run_once() {
    std::vector<uint32_t> slots(graph_.nodes().size(), 0);
    for (const Node& from : graph_.nodes()) {
        const Reference* references = graph_.references(from);
        for (uint32_t i = 0; i < from.reference_count; ++i) {
            if (references[i].node != Reference::kExternal) ++slots[references[i].node];
        }
    }
    for (const uint32_t entry : graph_.patterns()) {
        if (node(entry).reference_count <= image::kPatternCode) continue;
        const uint32_t code = graph_.references(node(entry))[image::kPatternCode].node;
        if (code != Reference::kExternal && slots[code] == 1) {
            run_once_[code] = node(code).type == TypeIndex::kBytes;
        }
    }
    for (const Module& module : graph_.modules()) {
        run_once_[module.code] = slots[module.code] == 0;
        // What a node refers to, and nothing else does, follows it.
        for (uint32_t n = module.first_node; n < module.first_node + module.node_count; ++n) {
            if (!run_once_[n]) continue;
            const Reference* references = graph_.references(node(n));
            for (uint32_t i = 0; i < node(n).reference_count; ++i) {
                const uint32_t target = references[i].node;
                if (target == Reference::kExternal || slots[target] != 1) continue;
                const TypeIndex type = node(target).type;
                run_once_[target] = type == TypeIndex::kTuple || type == TypeIndex::kBytes ||
                                    (type == TypeIndex::kCode && !is_function(node(target)));
            }
        }
    }
}

// Modules that most programs import come first, then packages as they lie in the file system.
void Placement::assign_modules() {
    const auto& modules = graph_.modules();
    std::vector<uint32_t> order(modules.size());
    std::iota(order.begin(), order.end(), 0);
    const auto popularity = [&](uint32_t m) {
        return popular(profile_.popularity(Profile::module_key(modules[m].path)));
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return popularity(a) > popularity(b); });
    std::vector<uint32_t> places(modules.size());
    for (uint32_t i = 0; i < order.size(); ++i) places[order[i]] = i;

    place_.assign(graph_.nodes().size(), static_cast<uint32_t>(modules.size()));
    std::unordered_map<std::string_view, uint32_t> patterns;  // by text: who compiles it first
    for (uint32_t m = 0; m < modules.size(); ++m) {
        const uint32_t end = modules[m].first_node + modules[m].node_count;
        for (uint32_t n = modules[m].first_node; n < end; ++n) {
            place_[n] = places[m];
            if (!graph_.is_noted_as_hashed(node(n))) continue;
            const auto known = patterns.emplace(text_of(node(n).source), places[m]).first;
            known->second = std::min(known->second, places[m]);
        }
    }
    // Nodes of a pattern follow its entry, which was made first.
    uint32_t place = static_cast<uint32_t>(modules.size());
    std::unordered_set<uint32_t> entries(graph_.patterns().begin(), graph_.patterns().end());
    const uint32_t first = modules.empty() ? 0 : modules.back().first_node + modules.back().node_count;
    for (uint32_t n = first; n < graph_.nodes().size(); ++n) {
        if (entries.count(n) != 0) {
            const auto known = patterns.find(text_of(PyTuple_GET_ITEM(node(n).source, 0)));
            place = known == patterns.end() ? static_cast<uint32_t>(modules.size()) : known->second;
        }
        place_[n] = place;
    }
    for (uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        if (users_[n] != 0 && ObjectGraph::is_interned(node(n))) place_[n] = places[main_user_[n]];
    }
}

RegionKind Placement::region_of(uint32_t number) const {
    const RegionKind kind = node(number).region;
    if (run_once_[number]) return RegionKind::kRunOnce;
    // A tuple of nothing that is no singleton is the one that code objects have for names (3.9, 3.10).
    const bool shared = (node(number).type == TypeIndex::kBytes && users_[number] > 1) ||
                        (node(number).type == TypeIndex::kTuple && node(number).reference_count == 0);
    if (!by_module_ || shared || kind == RegionKind::kStrInterned || kind == RegionKind::kFrozensets) {
        return kind;
    }
    return RegionKind::kModules;
}

// What several modules share lies apart, the most wanted first.
RegionOrder Placement::order_by_module(RegionKind kind) const {
    RegionOrder order;
    for (uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        if (region_of(n) == kind) order.nodes.push_back(n);
    }
    const bool shared_strings = kind == RegionKind::kStrInterned;
    const bool whole_modules = kind == RegionKind::kModules || kind == RegionKind::kRunOnce;
    const auto wanted = [&](uint32_t n) {
        const bool shared = shared_strings ? shared_[n] : kind == RegionKind::kBytes;
        return shared ? std::tuple(heat_[n] == kStartup, programs_[n], users_[n])
                      : std::tuple(heat_[n] == kStartup, 0U, 0U);
    };
    std::stable_sort(order.nodes.begin(), order.nodes.end(), [&](uint32_t a, uint32_t b) {
        if (!whole_modules && wanted(a) != wanted(b)) return wanted(a) > wanted(b);
        return place_[a] < place_[b];
    });
    if (shared_strings) {
        order.startup = static_cast<size_t>(
            std::count_if(order.nodes.begin(), order.nodes.end(),
                          [&](uint32_t n) { return heat_[n] == kStartup; }));
    }
    order.hot = kind == RegionKind::kRunOnce ? 0 : order.nodes.size();
    return order;
}

void Placement::count_users() {
    std::vector<uint32_t> last_user(graph_.nodes().size(), 0xffffffffU);
    for (uint32_t m = 0; m < graph_.modules().size(); ++m) {
        const Module& module = graph_.modules()[m];
        const uint32_t programs = profile_.popularity(Profile::module_key(module.path));
        for (uint32_t n = module.first_node; n < module.first_node + module.node_count; ++n) {
            const Reference* references = graph_.references(node(n));
            for (uint32_t i = 0; i < node(n).reference_count; ++i) {
                const uint32_t target = references[i].node;
                if (target == Reference::kExternal || last_user[target] == m) continue;
                last_user[target] = m;
                if (users_[target] != 0 && package_of(m) != package_of(main_user_[target])) {
                    shared_[target] = true;
                }
                programs_[target] += programs;
                if (users_[target]++ == 0 || programs > main_user_programs_[target]) {
                    main_user_[target] = m;
                    main_user_programs_[target] = programs;
                }
            }
        }
    }
}

// A client pays for each string of the start in every process, so only those are taken whose
// redirection would cost a process that imports something more than that. Likewise of those that
// the compiler, extension modules and importlib will intern.
void Placement::choose_first_strings() {
    const auto worth = static_cast<uint32_t>(4 + graph_.modules().size() / kModulesPerUser);
    for (uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        // Names of slots stay the interpreter's own.
        if (!ObjectGraph::is_interned(node(n)) || pycds_is_compared_name(node(n).source)) continue;
        if ((node(n).at_startup && users_[n] >= worth) ||
            (users_[n] > 1 && profile_.has_name(text_of(node(n).source)))) {
            heat_[n] = kStartup;
        }
    }
}

void Placement::visit_modules() {
    const auto& modules = graph_.modules();
    for (module_ = 0; module_ < modules.size(); ++module_) {
        const std::string_view key = Profile::module_key(modules[module_].path);
        module_popularity_ = profile_.popularity(key);
        visit_code(key, kModuleName, modules[module_].code, true);
    }
}

// A running code object is specialised in place, looks names up and builds dicts from constants: it
// is written, and so are the hashes in its strings.
void Placement::visit_code(std::string_view module, const std::string& qualname, uint32_t code,
                           bool runs) {
    if (visited_[code]) return;
    visited_[code] = true;
    if (runs) heat(code);
    if (profile_.hashes(module, qualname)) heat_all_below(code);
    const Reference* members = graph_.references(node(code));
    for (uint32_t i = 0; i < node(code).reference_count; ++i) {
        const uint32_t member = members[i].node;
        if (member == Reference::kExternal || node(member).type != TypeIndex::kTuple) continue;
        const size_t offset = interp::code_slot(i);
        if (runs && offset == offsetof(PyCodeObject, co_names)) heat_strings_below(member, true);
        if (offset != offsetof(PyCodeObject, co_consts)) continue;
        const Reference* constants = graph_.references(node(member));
        for (uint32_t c = 0; c < node(member).reference_count; ++c) {
            if (constants[c].node != Reference::kExternal) {
                visit_constant(module, qualname, node(code), constants[c].node, runs);
            }
        }
    }
}

void Placement::visit_constant(std::string_view module, const std::string& parent_name,
                               const Node& parent, uint32_t constant, bool runs) {
    if (node(constant).type != TypeIndex::kCode) {
        if (runs) heat_strings_below(constant, false);
        return;
    }
    const std::string qualname = qualname_in(parent_name, parent, node(constant));
    bool this_runs = runs;
    if (is_function(node(constant))) {
        const PyCodeObject* code = code_of(node(constant));
        this_runs = (runs && runs_where_it_is_made(text_of(code->co_name))) ||
                    profile_.runs(module, qualname);
    }
    visit_code(module, qualname, constant, this_runs);
}

// What hashing a code object hashes: constants, docstrings among them, and tables; where tuples remember
// it, also those that hold its constants and names.
void Placement::heat_all_below(uint32_t code) {
    const Reference* members = graph_.references(node(code));
    for (uint32_t i = 0; i < node(code).reference_count; ++i) {
        const uint32_t member = members[i].node;
        if (member == Reference::kExternal) continue;
        if (node(member).type == TypeIndex::kBytes ||
            (interp::kTuplesHaveHash && node(member).type == TypeIndex::kTuple)) {
            heat(member);
        }
        if (interp::code_slot(i) != offsetof(PyCodeObject, co_consts)) continue;
        const Reference* constants = graph_.references(node(member));
        for (uint32_t c = 0; c < node(member).reference_count; ++c) {
            if (constants[c].node != Reference::kExternal) heat(constants[c].node);
        }
    }
}

// Names are looked up. Of constants only short ones may be keys of dicts, and docstrings never; of
// modules that were recorded the record says which are.
bool Placement::is_hashed(const Node& string, bool looked_up) const {
    constexpr uint64_t kLongestKey = 96;  // bytes of the object
    if (looked_up) return true;
    if (graph_.is_noted_as_hashed(string)) return true;
    // The docstring of a class gets its UTF-8 form when the class is made (type_new_set_doc() in
    // Objects/typeobject.c), which of ASCII is the string itself.
    if (string.region == RegionKind::kStrDoc) return !PyUnicode_IS_ASCII(string.source);
    if (string.size > kLongestKey) return false;
    if (string.type != TypeIndex::kStr || module_popularity_ == 0) return true;
    return profile_.has_key(text_of(string.source));
}

std::string_view Placement::package_of(uint32_t module) const {
    return Profile::package(Profile::module_key(graph_.modules()[module].path));
}

void Placement::heat(uint32_t number) {
    heat_[number] = std::max(heat_[number], kHot);
    popularity_[number] = std::max(popularity_[number], popular(module_popularity_));
    if (last_hot_user_[number] == module_) return;
    const bool first = hot_users_[number]++ == 0;
    if (!first && package_of(module_) != package_of(owner_[number])) {
        between_packages_[number] = true;
    }
    if (first || module_popularity_ > owner_programs_[number]) {
        owner_[number] = module_;
        owner_programs_[number] = module_popularity_;
    }
    last_hot_user_[number] = module_;
}

void Placement::heat_strings_below(uint32_t number, bool looked_up) {
    const Node& here = node(number);
    if (here.type == TypeIndex::kStr || here.type == TypeIndex::kBytes) {
        if (is_hashed(here, looked_up)) heat(number);
        return;
    }
    if (here.type == TypeIndex::kCode) return;
    // Of constant tuples many are keys.
    if (interp::kTuplesHaveHash && here.type == TypeIndex::kTuple && !looked_up) heat(number);
    const Reference* items = graph_.references(here);
    for (uint32_t i = 0; i < here.reference_count; ++i) {
        if (items[i].node != Reference::kExternal) heat_strings_below(items[i].node, looked_up);
    }
}

// Will processes have a string of their own by the time this one comes?
bool Placement::is_redirected(uint32_t string, std::string_view package) const {
    if (!ObjectGraph::is_interned(node(string)) || heat_[string] == kStartup) return false;
    const std::string_view text = text_of(node(string).source);
    return node(string).at_startup || profile_.has_name(text) ||
           profile_.has_foreign(package, text) || packages_.count(text) != 0;
}

// Strings that get hashed by ways that no rule about code knows.
void Placement::heat_recorded_keys() {
    for (uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        if (!ObjectGraph::is_interned(node(n)) || heat_[n] != kCold) continue;
        const std::string_view text = text_of(node(n).source);
        if (profile_.has_key(text) || is_mangled(text)) {
            heat_[n] = kHot;
            owner_[n] = main_user_[n];
        }
    }
}

void Placement::heat_what_is_redirected() {
    const auto& modules = graph_.modules();
    // Whoever imports a package names it.
    for (uint32_t m = 0; m < modules.size(); ++m) packages_.insert(package_of(m));
    for (uint32_t m = 0; m < modules.size(); ++m) {
        const uint32_t end = modules[m].first_node + modules[m].node_count;
        for (uint32_t n = modules[m].first_node; n < end; ++n) {
            if (has_slots(node(n).type) && heat_[n] == kCold &&
                has_redirected_slot(n, package_of(m))) {
                heat_[n] = kHot;
                owner_[n] = m;
                popularity_[n] = popular(profile_.popularity(Profile::module_key(modules[m].path)));
            }
        }
    }
}

// Where rules say of none but unrecorded modules that they write something: a module that is
// imported more often than those and refers to it may well do so in a way that no rule knows.
void Placement::move_to_main_users() {
    for (uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        if (owner_programs_[n] == 0 && main_user_programs_[n] >= kOften) owner_[n] = main_user_[n];
    }
}

bool Placement::has_redirected_slot(uint32_t number, std::string_view package) const {
    const Reference* slots = graph_.references(node(number));
    for (uint32_t i = 0; i < node(number).reference_count; ++i) {
        const bool external = slots[i].node == Reference::kExternal;
        if (external ? image::is_heap_singleton_address(slots[i].address)
                     : is_redirected(slots[i].node, package)) {
            return true;
        }
    }
    return false;
}

RegionOrder Placement::order_of(RegionKind kind) const {
    if (by_module_ && kind != RegionKind::kFrozensets) return order_by_module(kind);
    RegionOrder order;
    for (uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        if (node(n).region == kind) order.nodes.push_back(n);
    }
    if (kind == RegionKind::kFrozensets) {
        // In the order of the modules, which the format wants, and filled at hand-out unless they are.
        order.hot = graph_.fills_frozensets() && !interp::kRefcountsAreWritten ? 0 : order.nodes.size();
        return order;
    }
    // What popular modules write comes first: whatever a process imports, it writes most of that.
    // Then names that modules of several packages share, those first whose modules are imported
    // most; the others lie with a module that writes them.
    const auto shared_by = [&](uint32_t n) {
        return kind == RegionKind::kStrInterned && between_packages_[n]
                   ? std::pair(programs_[n], hot_users_[n])
                   : std::pair(0U, 0U);
    };
    std::stable_sort(order.nodes.begin(), order.nodes.end(), [&](uint32_t a, uint32_t b) {
        if (heat_[a] != heat_[b]) return heat_[a] > heat_[b];
        if (heat_[a] == kCold) return false;
        if (popularity_[a] != popularity_[b]) return popularity_[a] > popularity_[b];
        if (popularity_[a] == 0 && shared_by(a) != shared_by(b)) return shared_by(a) > shared_by(b);
        return owner_[a] < owner_[b];
    });
    const auto count_at_least = [&](Heat heat) {
        return static_cast<size_t>(std::count_if(order.nodes.begin(), order.nodes.end(),
                                                 [&](uint32_t n) { return heat_[n] >= heat; }));
    };
    order.startup = count_at_least(kStartup);
    order.hot = count_at_least(kHot);
    return order;
}

}  // namespace pycds::builder
