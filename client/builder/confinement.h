// The builder's own part of its sandbox (PROTOCOL.md): once it has read its input, and before a
// byte of that is believed, it gives up all but computing and writing to what is open.
#pragma once

#include "src/common/base/result.h"

namespace pycds::builder {

// Installs the filter that a descriptor holds, an array of sock_filter (seccomp(2)), for good. From
// then on nothing can be opened, executed, or signalled. Lets nobody but root look into the process
// either.
Status confine(int filter_fd);

}  // namespace pycds::builder
