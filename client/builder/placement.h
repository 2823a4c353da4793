// Where an object goes inside its region: what processes write lies together, apart from what
// nobody writes, because a page of an image that a process writes is a page it pays for. Decided by
// rules about what importing a module does, and by a profile of what running programs did. Where
// processes write all that they use, what they use together lies together: module by module.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "client/builder/object_graph.h"
#include "client/builder/profile.h"

namespace pycds::builder {

// The objects of one region in the order in which they lie.
struct RegionOrder {
    std::vector<uint32_t> nodes;
    size_t startup = 0;  // the first ones are strings that every client takes over when it starts
    size_t hot = 0;      // the first ones (those included) are expected to be written
};

class Placement {
  public:
    // Both must live as long as this. `by_module`: processes write all that they use.
    Placement(const ObjectGraph& graph, const Profile& profile, bool by_module);

    RegionOrder order_of(image::RegionKind kind) const;

  private:
    // In the order in which they lie. Inside one, module by module.
    enum Heat : uint8_t { kCold = 0, kHot, kStartup };

    void assign_modules();
    void find_run_once();
    image::RegionKind region_of(uint32_t node) const;
    RegionOrder order_by_module(image::RegionKind kind) const;
    void count_users();
    void choose_first_strings();
    void visit_modules();
    void visit_code(std::string_view module, const std::string& qualname, uint32_t code, bool runs);
    void visit_constant(std::string_view module, const std::string& parent_name, const Node& parent,
                        uint32_t node, bool runs);
    bool is_hashed(const Node& string, bool looked_up) const;
    std::string_view package_of(uint32_t module) const;
    void heat(uint32_t node);
    void heat_all_below(uint32_t code);
    void heat_strings_below(uint32_t node, bool looked_up);
    void heat_recorded_keys();
    void heat_what_is_redirected();
    void move_to_main_users();
    bool is_redirected(uint32_t string, std::string_view package) const;
    bool has_redirected_slot(uint32_t node, std::string_view package) const;
    const Node& node(uint32_t number) const { return graph_.nodes()[number]; }

    const ObjectGraph& graph_;
    const Profile& profile_;
    const bool by_module_;
    std::vector<uint32_t> place_;  // by node: of the module that it lies with, in the order of these
    std::vector<Heat> heat_;  // by node
    // By node: how many modules refer to it; which of them most programs import (or the first), and
    // how many do; and the sum over all of them.
    std::vector<uint32_t> users_;
    std::vector<uint32_t> main_user_;
    std::vector<uint32_t> main_user_programs_;
    std::vector<uint32_t> programs_;
    // By node: how many modules, when imported, write it. It lies with the one of them that most
    // programs import, or the first.
    std::vector<uint32_t> hot_users_;
    std::vector<uint32_t> owner_;
    std::vector<uint32_t> owner_programs_;
    std::vector<uint32_t> last_hot_user_;
    std::vector<bool> between_packages_;  // by node: those are not all of one package
    std::vector<bool> run_once_;  // by node: only module and class bodies have it
    std::vector<bool> shared_;  // by node: nor are all that refer to it
    // By node: of the modules that write it the popularity of the most popular one.
    std::vector<uint32_t> popularity_;
    std::vector<bool> visited_;                      // code objects
    std::unordered_set<std::string_view> packages_;  // names of packages and modules outside any
    // The module being visited, and how many recorded programs import it.
    uint32_t module_ = 0;
    uint32_t module_popularity_ = 0;
};

}  // namespace pycds::builder
