// Which pages of an image live processes share, own or lack: counted, and as JSON.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ctl/pages/proc_parse.h"
#include "src/common/image/format.h"

namespace pycds::ctl {

// Consecutive pages of one kind: a region of the image, "header" for its first page, or "padding".
struct PageRegion {
    std::string kind;     // region_kind_name()
    bool objects = true;  // else nobody writes to it
    uint64_t first = 0;   // page of the image
    uint64_t pages = 0;
    uint64_t hot_pages = 0;  // of these, at the start: those with any byte of the hot part
    uint64_t size = 0;       // bytes used
};

// The whole image in order, every page in exactly one region. `header` is that of a valid image.
std::vector<PageRegion> page_regions(const image::Header& header);

struct PageCounts {
    uint64_t pages = 0;  // dirty + shared + absent
    uint64_t dirty = 0;
    uint64_t shared = 0;
    uint64_t absent = 0;
    uint64_t hot_pages = 0;
    uint64_t hot_dirty = 0;  // dirty pages among the hot ones

    PageCounts& operator+=(const PageCounts& other);
};

struct ProcessPages {
    pid_t pid = 0;
    std::vector<PageState> states;  // one for each page of the image
};

struct PageReport {
    std::string image;  // as the user calls it; any bytes
    std::string python;
    uint64_t generation = 0;
    std::vector<PageRegion> regions;
    std::vector<ProcessPages> processes;  // at least one

    uint64_t pages() const { return processes.front().states.size(); }
};

PageCounts count_pages(const PageRegion& region, const ProcessPages& process);
PageCounts count_pages(const PageReport& report, const ProcessPages& process);

// Of several processes: sums over them, and the most dirty pages of one.
struct PageSums {
    PageCounts sum;
    uint64_t most_dirty = 0;

    void add(const PageCounts& counts);
};

// What is drawn as one: some neighbouring pages of a region, in all processes. Either all of them
// are hot or none.
struct PageCell {
    uint64_t pages = 0;
    bool hot = false;
    bool present = false;  // in some process, some page is not absent
    double dirty = 0;      // the part that is dirty; 1: every page in every process
};

// `per_cell` (at least 1) pages in each but the last of the hot and the last of the other ones.
std::vector<PageCell> page_cells(const PageReport& report, const PageRegion& region,
                                 uint64_t per_cell);

// One document, ended by a newline; `pycdsctl show --help` names its keys. They keep their meaning
// once released; new ones may come.
std::string pages_json(const PageReport& report);

}  // namespace pycds::ctl
