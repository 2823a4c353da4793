// Reads a file that others may write meanwhile.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

namespace pycds {

inline bool same_file(const struct stat& a, const struct stat& b) {
    const auto same_time = [](const timespec& one, const timespec& other) {
        return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
    };
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
           same_time(a.st_mtim, b.st_mtim) && same_time(a.st_ctim, b.st_ctim);
}

enum class StableRead { kDone, kFailed, kChanged };

// The whole of a regular file of which fstat(2) said `about`; kChanged if it says something else now.
inline StableRead read_stable(int fd, const struct stat& about, std::vector<unsigned char>* out) {
    const auto size = static_cast<size_t>(about.st_size);
    out->resize(size);
    size_t done = 0;
    while (done < size) {
        const ssize_t n = pread(fd, out->data() + done, size - done, static_cast<off_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return StableRead::kFailed;
        done += static_cast<size_t>(n);
    }
    struct stat after {};
    return fstat(fd, &after) == 0 && same_file(about, after) ? StableRead::kDone : StableRead::kChanged;
}

}  // namespace pycds
