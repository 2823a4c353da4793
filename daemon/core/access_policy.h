// The questions that the service asks before it does anything for a peer. The answers are
// daemon/policy's; the service contains no rule of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/peer_identity.h"
#include "src/common/wire/messages.h"

namespace pycds::core {

class AccessPolicy {
  public:
    virtual ~AccessPolicy() = default;

    // kPermissionDenied with a text that says who may.
    virtual Status may_build(const PeerIdentity& peer) const = 0;
    // The same of an image of the peer's own files, whose contents it sends.
    virtual Status may_build_offered(const PeerIdentity& peer) const = 0;
    // May the peer know of all images, and of what others do?
    virtual bool may_see_all(const PeerIdentity& peer) const = 0;
    // May the peer know that such an image exists?
    virtual bool may_see(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const = 0;
    // May the peer have its descriptor when it asks for it by name?
    virtual bool may_fetch(const PeerIdentity& peer, wire::Domain domain,
                           uid_t domain_uid) const = 0;
    virtual bool may_drop(const PeerIdentity& peer, wire::Domain domain,
                          uid_t domain_uid) const = 0;

    // For each source path the domain whose image may hold it, if the interpreter `python` makes
    // that; kUnspecified: none. kPermissionDenied if `python` may make nothing for this peer. Looks
    // at the file system; runs on the worker's thread.
    virtual Result<std::vector<wire::Domain>> place_sources(
        const PeerIdentity& peer, const std::string& python,
        const std::vector<std::string>& paths) const = 0;
};

}  // namespace pycds::core
