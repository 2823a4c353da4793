// Where an object goes inside its region: what processes write lies together, apart from what
// nobody writes, because a page of an image that a process writes is a page it pays for. Decided by
// rules about what importing a module does, and by a profile of what running programs did.
#pragma once

#include <cstddef>
#include <cstdint>
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
    // Both must live as long as this.
    Placement(const ObjectGraph& graph, const Profile& profile);

    RegionOrder order_of(image::RegionKind kind) const;

  private:
    // In the order in which they lie. Inside one, module by module.
    enum Heat : uint8_t { kCold = 0, kHot, kHotEverywhere, kStartup };

    void count_users();
    void choose_first_strings();
    void visit_modules();
    void visit_code(std::string_view module, uint32_t code, bool runs);
    void visit_constant(std::string_view module, uint32_t node, bool runs);
    Heat heat_of_string(const Node& string, bool looked_up) const;
    std::string_view package_of(uint32_t module) const;
    void heat(uint32_t node, Heat least);
    void heat_strings_below(uint32_t node, bool looked_up);
    void heat_recorded_keys();
    void heat_what_is_redirected();
    bool is_redirected(uint32_t string) const;
    const Node& node(uint32_t number) const { return graph_.nodes()[number]; }

    const ObjectGraph& graph_;
    const Profile& profile_;
    std::vector<Heat> heat_;       // by node
    std::vector<uint32_t> users_;  // by node: modules that refer to it
    // By node: modules that, when imported, write it.
    std::vector<uint32_t> hot_users_;
    std::vector<uint32_t> first_hot_user_;
    std::vector<uint32_t> last_hot_user_;
    std::vector<bool> between_packages_;  // by node: those are not all of one package
    std::vector<bool> visited_;           // code objects
    // The module being visited, and whether every other process imports it.
    uint32_t module_ = 0;
    bool popular_ = false;
};

}  // namespace pycds::builder
