// A user's own files for the builder of a daemon that is not his: read here, with his rights, and
// their contents sent (client/builder/PROTOCOL.md, "sources").
#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ctl {

struct OwnSources {
    std::vector<std::string> paths;  // at least one
    uint32_t of_the_system = 0;      // root's, which are in the system's image or not for him to put there
};

// What of a plan (its descriptor) is not the system's. kNotFound if there is nothing.
Result<OwnSources> own_sources(int plan);

// Sends from a thread of its own, since the builder takes what comes as fast as it reads.
class Offer {
  public:
    Offer(std::vector<std::string> paths, std::string cache_tag, uint32_t optimize);
    Offer(const Offer&) = delete;
    Offer& operator=(const Offer&) = delete;
    // Does not wait until all is sent.
    ~Offer();

    // The socket to the builder has come. Call it once.
    void start(UniqueFd socket);

  private:
    void send_all();

    const std::vector<std::string> paths_;
    const std::string cache_tag_;
    const uint32_t optimize_;
    UniqueFd socket_;
    std::thread thread_;
};

}  // namespace pycds::ctl
