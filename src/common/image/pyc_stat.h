// A .pyc file as stat(2) has it and as a root's record does: who serves from an image and who explains it
// must mean the same by "the same file". Freestanding.
#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "src/common/image/format.h"

namespace pycds::image {

// Since 1970.
inline int64_t nanoseconds(const timespec& time) {
    return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// The number alone says nothing: that of a file that is gone is given to another.
inline bool same_pyc(const struct stat& st, const RootRecord& root) {
    return st.st_dev == root.file_dev && st.st_ino == root.file_ino &&
           static_cast<uint64_t>(st.st_size) == root.file_size &&
           nanoseconds(st.st_mtim) == root.file_mtime_ns &&
           nanoseconds(st.st_ctim) == root.file_ctime_ns;
}

}  // namespace pycds::image
