// The clocks of the machine.
#pragma once

#include <time.h>

#include "daemon/core/clock.h"

namespace pycds::sys {

class SystemClock final : public core::Clock {
  public:
    uint64_t monotonic_ms() const override { return read(CLOCK_MONOTONIC); }
    uint64_t unix_ms() const override { return read(CLOCK_REALTIME); }

  private:
    static uint64_t read(clockid_t id) {
        timespec now{};
        clock_gettime(id, &now);
        return static_cast<uint64_t>(now.tv_sec) * 1000 +
               static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
    }
};

}  // namespace pycds::sys
