// A connection that keeps what it is told.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "daemon/core/reply.h"

namespace pycds::fakes {

class FakeSink final : public core::ReplySink {
  public:
    void progress(const wire::BuildProgress& progress) override { progresses.push_back(progress); }
    void sources_wanted(UniqueFd socket) override { sources = std::move(socket); }
    void finish(core::Reply reply) override { last = std::move(reply); }

    std::vector<wire::BuildProgress> progresses;
    UniqueFd sources;
    std::optional<core::Reply> last;
};

}  // namespace pycds::fakes
