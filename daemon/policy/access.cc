#include "daemon/policy/access.h"

#include "daemon/policy/source_trust.h"

namespace pycds::policy {

Status Access::may_build(const PeerIdentity& peer) const {
    if (is_administrator(peer)) return Ok{};
    if (peer.elsewhere) {
        return Error{
            ErrorCode::kPermissionDenied,
            "who lives in a container (another pid namespace) may not build images with this "
            "daemon; ask from outside, or start one of your own inside: pycdsd --user"};
    }
    const std::string who = options_.daemon_uid == 0
                                ? "only root may build images with this daemon"
                                : "only root and uid " + std::to_string(options_.daemon_uid) +
                                      " may build images with this daemon";
    return Error{ErrorCode::kPermissionDenied,
                 who + ", not uid " + std::to_string(peer.uid) +
                     "; a daemon of your own is started with: pycdsd --user"};
}

Status Access::may_build_offered(const PeerIdentity& peer) const {
    constexpr uid_t kOverflowUid = 65534;
    if (options_.user_mode || peer.elsewhere || peer.uid == kOverflowUid) return may_build(peer);
    if (!is_administrator(peer)) return Ok{};
    return Error{ErrorCode::kPermissionDenied,
                 "uid " + std::to_string(peer.uid) +
                     " names its files to this daemon, which opens them itself"};
}

bool Access::may_map(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const {
    switch (domain) {
        case wire::Domain::kSystem: return true;
        case wire::Domain::kUser: return peer.uid == domain_uid && !peer.elsewhere;
        case wire::Domain::kUnspecified: break;
    }
    return false;
}

bool Access::may_see(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const {
    return is_administrator(peer) || may_map(peer, domain, domain_uid);
}

bool Access::may_fetch(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const {
    return (peer.uid == 0 && !peer.elsewhere) || may_map(peer, domain, domain_uid);
}

bool Access::may_drop(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const {
    return is_administrator(peer) ||
           (domain == wire::Domain::kUser && may_map(peer, domain, domain_uid));
}

Result<std::vector<wire::Domain>> Access::place_sources(
    const PeerIdentity& peer, const std::string& python,
    const std::vector<std::string>& paths) const {
    std::vector<wire::Domain> domains(paths.size(), wire::Domain::kUser);
    if (options_.user_mode) return domains;
    const wire::Domain otherwise =
        peer.uid == options_.daemon_uid ? wire::Domain::kUser : wire::Domain::kUnspecified;
    SourceTrust trust;
    if (!trust.is_trusted_program(python)) {
        if (peer.uid == options_.daemon_uid) return domains;
        return Error{ErrorCode::kPermissionDenied,
                     "what everybody maps is made only by an interpreter that is root's and safe "
                     "from everybody else, with every directory above it; " +
                         python + " is not, and only uid " + std::to_string(options_.daemon_uid) +
                         " may build with it, for itself"};
    }
    for (size_t i = 0; i < paths.size(); ++i) {
        domains[i] = trust.is_trusted(paths[i]) ? wire::Domain::kSystem : otherwise;
    }
    return domains;
}

}  // namespace pycds::policy
