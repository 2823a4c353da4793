// A clock that stands still until a test moves it.
#pragma once

#include "daemon/core/clock.h"

namespace pycds::fakes {

class FakeClock final : public core::Clock {
  public:
    uint64_t monotonic_ms() const override { return now_ms; }
    uint64_t unix_ms() const override { return 1'700'000'000'000 + now_ms; }

    uint64_t now_ms = 1000;
};

}  // namespace pycds::fakes
