// Answers of the service, and where those go that come later.
#pragma once

#include <memory>
#include <vector>

#include "src/common/os/unique_fd.h"
#include "src/common/wire/messages.h"

namespace pycds::core {

struct Reply {
    wire::Reply message;
    // In the order in which the message names them. Shared with the image store: an image that is
    // replaced or dropped while a reply waits to be sent stays alive until then.
    std::vector<std::shared_ptr<const UniqueFd>> fds;
};

// The connection on which a build was asked for.
class ReplySink {
  public:
    virtual ~ReplySink() = default;
    // A BuildProgress; may be lost if the peer does not keep up. Must not call the service: it is
    // in the middle of something.
    virtual void progress(const wire::BuildProgress& progress) = 0;
    // A SourcesReply with this socket. Must not call the service either.
    virtual void sources_wanted(UniqueFd socket) = 0;
    // The last reply to the build. Never called from inside Service::handle().
    virtual void finish(Reply reply) = 0;
};

}  // namespace pycds::core
