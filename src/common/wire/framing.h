// Limits of the transport. Freestanding: the client includes it.
#pragma once

#include <cstddef>

namespace pycds::wire {

// A packet longer than this ends the connection. SOCK_SEQPACKET keeps message boundaries, so there
// is no length prefix that could lie.
inline constexpr size_t kMaxMessageSize = 64 * 1024;

}  // namespace pycds::wire
