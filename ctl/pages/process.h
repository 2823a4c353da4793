// The pages of an image in a live process.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "ctl/image_source.h"
#include "ctl/pages/proc_parse.h"
#include "src/common/base/result.h"

namespace pycds::ctl {

// One state for each page of `image`, which is valid; `name` is what messages call it. Nothing
// stops the process meanwhile: of pages that it writes just then, either state is the truth.
//
// kNotFound: no such process, it ended, or it does not map this image. kPermissionDenied: the
// process is not ours to look at (ptrace(2), PTRACE_MODE_READ_FSCREDS). An image of the daemon is
// recognised as a file; the copy in another file by what the process has at the requested base,
// which wants the right to read its memory (PTRACE_MODE_ATTACH_FSCREDS) and makes the header's page
// present.
Result<std::vector<PageState>> read_process_pages(pid_t pid, const LoadedImage& image,
                                                  const std::string& name);

}  // namespace pycds::ctl
