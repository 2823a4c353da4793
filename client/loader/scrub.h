// Giving back pages of an image that a process has written and does not need to have written:
// caches in bytecode that ran once, and on versions without immortal objects reference counts. The
// mapping is private over contents that never change, so madvise(MADV_DONTNEED) makes such a page
// the shared one again. docs/performance.md says what that is worth and what it costs.
// Freestanding.
#pragma once

#include <cstdint>

#include "client/loader/mapped_image.h"

namespace pycds::loader {

// Gives back what can be given back of one image; returns how many pages that was. A page stays as
// it is if anything in it matters: a redirected or relocated slot, a hash that dicts rely on, code that is
// weakly referenced, instrumented or has data of others attached. Bytecode may be running, in this
// thread and in others. Call with the GIL; runs no Python code and allocates nothing. Does nothing
// where /proc/self/pagemap cannot be read.
// `spare_functions`: not what function objects refer to, which is written again when they end.
uint64_t scrub(MappedImage& image, bool spare_functions);

// When the interpreter is about to free what refers to an image: takes back those of the pages
// given back that this will write, all at once, which costs a fraction of one fault for each.
void take_back(const MappedImage& image);

}  // namespace pycds::loader
