// Entries of /proc/PID/pagemap, 8 bytes a page (Documentation/admin-guide/mm/pagemap.rst). Only the
// bits that need no privilege are looked at. Freestanding.
#pragma once

#include <cstdint>

namespace pycds {

// Is the page somewhere, in memory or swapped out?
constexpr bool page_exists(uint64_t pagemap_entry) {
    constexpr uint64_t kPresent = uint64_t{1} << 63;
    constexpr uint64_t kSwapped = uint64_t{1} << 62;
    return (pagemap_entry & (kPresent | kSwapped)) != 0;
}

// Does a page of a privately mapped file exist as a copy of the process's own, because it was
// written? "Swapped" and of a file: the kernel is moving the page just now (a migration entry).
constexpr bool page_is_own(uint64_t pagemap_entry) {
    constexpr uint64_t kOfFile = uint64_t{1} << 61;  // or of shared anonymous memory
    return page_exists(pagemap_entry) && (pagemap_entry & kOfFile) == 0;
}

}  // namespace pycds
