// What a live process has written into an image it maps: compared page by page with the image as it
// was made. The process is not stopped, asked or changed.
#pragma once

#include <sys/types.h>

#include <string>

#include "src/common/base/result.h"

namespace pycds::builder {

// Lines of a Profile (profile.h) about process `pid`, which maps the image behind `image_fd` at its
// requested base; each line ends with a newline, and lines may repeat. The image must have been
// made for the running interpreter. Needs the right to read /proc/PID/mem (ptrace(2), "Ptrace
// access mode checking"). An error before 3.11. Call with the GIL held.
Result<std::string> record(int image_fd, pid_t pid);

}  // namespace pycds::builder
