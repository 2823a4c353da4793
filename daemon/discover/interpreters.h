// Where a host has its interpreters: python3.N in the directories of the system's path, whatever
// alternatives lead there, and those that the configuration names.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "daemon/core/discovery.h"

namespace pycds::discover {

class Interpreters final : public core::InterpreterFinder {
  public:
    explicit Interpreters(std::vector<std::string> directories = {"/usr/bin", "/usr/local/bin"})
        : directories_(std::move(directories)) {}

    std::vector<std::string> find(const std::vector<std::string>& configured) const override;
    std::vector<std::string> directories() const override { return directories_; }

  private:
    const std::vector<std::string> directories_;
    // Configured ones that were missing the last time: said once. The worker's alone.
    mutable std::set<std::string> missing_;
};

// Is it "python3." and a number: neither a debug nor a free-threaded build, nor a script.
bool is_interpreter_name(std::string_view name);

}  // namespace pycds::discover
