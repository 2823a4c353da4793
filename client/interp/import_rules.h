// The arithmetic of importlib that builder and loader must repeat to the bit. Freestanding.
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace pycds::interp {

// os.stat(path).st_mtime (Modules/posixmodule.c fill_time()): seconds as a double.
inline double importlib_mtime_double(const timespec& time) {
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// int(os.stat(path).st_mtime) & 0xFFFFFFFF, as SourceLoader.get_code compares it with a .pyc. By way
// of the double, a nanosecond before the full second rounds up.
inline uint32_t importlib_mtime(const timespec& time) {
    return static_cast<uint32_t>(static_cast<int64_t>(importlib_mtime_double(time)));
}

}  // namespace pycds::interp
