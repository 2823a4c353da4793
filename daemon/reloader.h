// Reads the configuration again when the daemon is told to, and says to service manager and log
// what became of it.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "daemon/config/reload.h"

namespace pycds {

class Reloader {
  public:
    // `argc` and `argv` are main()'s; `status` is what the service manager knows of a daemon at
    // rest. `apply` makes options those in force.
    Reloader(int argc, const char* const* argv, config::Options options, std::string status,
             std::function<void(const config::Options&)> apply)
        : argc_(argc),
          argv_(argv),
          options_(std::move(options)),
          status_(std::move(status)),
          apply_(std::move(apply)) {}

    // Calls `apply` in any case, after a mistake with the options of before: who asks for a reload
    // wants the machine looked at again.
    void reload();

  private:
    const int argc_;
    const char* const* const argv_;
    config::Options options_;
    const std::string status_;
    const std::function<void(const config::Options&)> apply_;
};

}  // namespace pycds
