// Time, injected so that tests decide what time it is.
#pragma once

#include <cstdint>

namespace pycds::core {

class Clock {
  public:
    virtual ~Clock() = default;
    // Milliseconds since some moment in the past; never goes back.
    virtual uint64_t monotonic_ms() const = 0;
    // Milliseconds since 1970.
    virtual uint64_t unix_ms() const = 0;
};

}  // namespace pycds::core
