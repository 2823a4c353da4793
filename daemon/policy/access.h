// Who may do what. The only place of the daemon that says no to a peer because of who it is.
//
// Peers are judged by what the kernel says of them: their uid (src/common/os/peer_identity.h), and
// whether they live where the daemon does or in a container (src/common/os/peer_place.h). Root of a
// container is not the machine's, and a user's images stay out of containers, which that user need
// not have made.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/peer_identity.h"
#include "src/common/wire/messages.h"

namespace pycds::policy {

struct AccessOptions {
    uid_t daemon_uid = 0;
    // A daemon of one user's own: everything belongs to its uid, nothing to the system.
    bool user_mode = false;
};

class Access {
  public:
    explicit Access(AccessOptions options) : options_(options) {}

    // Root and the daemon's own uid; "root" is the machine's in all that follows.
    // They build by path; the daemon opens what they name.
    Status may_build(const PeerIdentity& peer) const;

    // Everybody but administrators, who name their files, may have an image made of what he sends, for
    // himself, but not in a daemon of one user's own, and not from inside a container. Not uid 65534
    // either: so the kernel calls all whose uid the daemon's user namespace does not know
    // (user_namespaces(7), overflowuid).
    Status may_build_offered(const PeerIdentity& peer) const;

    // Everybody may map a system image, and the images of its own uid. Nobody maps another's.
    bool may_map(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const;

    // Root and the daemon's own uid: of all images, and of what others do. Others know of their own
    // images and the system's, and of what they do themselves.
    bool may_see_all(const PeerIdentity& peer) const { return is_administrator(peer); }

    // What one may map; root and the daemon's uid may know of all.
    bool may_see(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const;

    // What one may map; root may look at any.
    bool may_fetch(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const;

    // Root and the daemon's uid any; an owner its own.
    bool may_drop(const PeerIdentity& peer, wire::Domain domain, uid_t domain_uid) const;

    // For each source the domain whose image may hold it, kUnspecified if none. A source that only
    // root can change and everybody can read goes to the system; another to the daemon's own uid,
    // if that is who asks; the daemon reads with its own rights, so it must not pass on to anybody
    // else what it can read. What `python` makes of the sources is in the image too, so an
    // interpreter that others than root can change makes nothing for the system: all goes to the
    // daemon's own uid, and kPermissionDenied for others. Looks at the file system.
    Result<std::vector<wire::Domain>> place_sources(const PeerIdentity& peer,
                                                    const std::string& python,
                                                    const std::vector<std::string>& paths) const;

  private:
    bool is_administrator(const PeerIdentity& peer) const {
        return !peer.elsewhere && (peer.uid == 0 || peer.uid == options_.daemon_uid);
    }

    const AccessOptions options_;
};

}  // namespace pycds::policy
