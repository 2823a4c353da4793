// Does the process at the other end of a Unix socket live where we do, or in a container?
#pragma once

namespace pycds {

// Containers have a pid namespace of their own; it is the one mark of them that the kernel shows to
// a process without privileges. (For the others, PIDFD_GET_USER_NAMESPACE of ioctl_pidfd(2) and
// /proc/PID/ns, it wants the right to trace the process: ptrace(2), PTRACE_MODE_READ.) A user
// namespace needs no look: the uid of SO_PEERCRED is mapped to ours already, and nobody gets
// another's uid by making one.
enum class PeerPlace {
    kHere,       // in our pid namespace
    kElsewhere,  // in one below ours, or in one that does not show in ours; or it has ended
    kUnknown,    // the kernel does not say
};

// Asks for a pidfd of the process that connected (SO_PEERPIDFD, Linux 6.5), and reads NSpid of its
// fdinfo (pidfd_open(2), proc(5)): what the kernel says is of this very process, whatever became of
// its pid. Before 6.5 the process is found by the pid of SO_PEERCRED, which may be another's by now
// if the peer has ended. Some microseconds. Allocates nothing, and leaves nothing open.
PeerPlace find_peer_place(int socket);

}  // namespace pycds
