// A policy whose answers about files a test gives by the path: "/system/..." is the system's,
// "/user/..." the user's, everything else nobody's. About peers it is the real one.
#pragma once

#include <string>
#include <vector>

#include "daemon/policy_adapter.h"

namespace pycds::fakes {

class FakePolicy final : public core::AccessPolicy {
  public:
    explicit FakePolicy(uid_t daemon_uid) : real_(policy::AccessOptions{daemon_uid, false}) {}

    Status may_build(const PeerIdentity& peer) const override {
        return everybody_builds ? Status(Ok{}) : real_.may_build(peer);
    }
    Status may_build_offered(const PeerIdentity& peer) const override {
        return real_.may_build_offered(peer);
    }
    bool may_see_all(const PeerIdentity& peer) const override { return real_.may_see_all(peer); }
    bool may_see(const PeerIdentity& peer, wire::Domain domain, uid_t uid) const override {
        return real_.may_see(peer, domain, uid);
    }
    bool may_fetch(const PeerIdentity& peer, wire::Domain domain, uid_t uid) const override {
        return real_.may_fetch(peer, domain, uid);
    }
    bool may_drop(const PeerIdentity& peer, wire::Domain domain, uid_t uid) const override {
        return real_.may_drop(peer, domain, uid);
    }
    Result<std::vector<wire::Domain>> place_sources(
        const PeerIdentity&, const std::string& python,
        const std::vector<std::string>& paths) const override {
        if (python.starts_with("/refused/")) {
            return Error{ErrorCode::kPermissionDenied, python + " is not trusted"};
        }
        std::vector<wire::Domain> out;
        for (const std::string& path : paths) {
            out.push_back(path.starts_with("/system/") ? wire::Domain::kSystem
                          : path.starts_with("/user/") ? wire::Domain::kUser
                                                       : wire::Domain::kUnspecified);
        }
        return out;
    }

    bool everybody_builds = false;

  private:
    const PolicyAdapter real_;
};

}  // namespace pycds::fakes
