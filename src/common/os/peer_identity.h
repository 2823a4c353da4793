// Who is at the other end of a Unix socket, as the kernel says it.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

namespace pycds {

// SO_PEERCRED (unix(7)): a snapshot of connect(2) or listen(2). Decide by uid; pid is for logs
// only, it may be another process by now.
struct PeerIdentity {
    uid_t uid = static_cast<uid_t>(-1);
    gid_t gid = static_cast<gid_t>(-1);
    pid_t pid = 0;
    // In a container as seen from here (os/peer_place.h): its root is not ours. Nobody but the
    // daemon looks.
    bool elsewhere = false;
};

// False if the kernel does not say. Freestanding: the client includes it.
inline bool read_peer_identity(int socket, PeerIdentity* out) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return false;
    if (size != sizeof credentials) return false;
    *out = PeerIdentity{credentials.uid, credentials.gid, credentials.pid, false};
    return true;
}

}  // namespace pycds
