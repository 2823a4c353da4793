// daemon/policy in the shape in which daemon/core asks for it. The two are siblings and do not
// know each other; only the wiring knows both.
#pragma once

#include <string>
#include <vector>

#include "daemon/core/access_policy.h"
#include "daemon/policy/access.h"

namespace pycds {

class PolicyAdapter final : public core::AccessPolicy {
  public:
    explicit PolicyAdapter(policy::AccessOptions options) : access_(options) {}

    Status may_build(const PeerIdentity& peer) const override { return access_.may_build(peer); }
    Status may_build_offered(const PeerIdentity& peer) const override {
        return access_.may_build_offered(peer);
    }
    bool may_see_all(const PeerIdentity& peer) const override { return access_.may_see_all(peer); }
    bool may_see(const PeerIdentity& peer, wire::Domain domain, uid_t uid) const override {
        return access_.may_see(peer, domain, uid);
    }
    bool may_fetch(const PeerIdentity& peer, wire::Domain domain, uid_t uid) const override {
        return access_.may_fetch(peer, domain, uid);
    }
    bool may_drop(const PeerIdentity& peer, wire::Domain domain, uid_t uid) const override {
        return access_.may_drop(peer, domain, uid);
    }
    Result<std::vector<wire::Domain>> place_sources(
        const PeerIdentity& peer, const std::string& python,
        const std::vector<std::string>& paths) const override {
        return access_.place_sources(peer, python, paths);
    }

  private:
    const policy::Access access_;
};

}  // namespace pycds
