// What /proc tells of the memory of a process: bytes in, values out. No process is needed, so that
// tests and fuzzers bring their own bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/common/base/result.h"

namespace pycds::ctl {

// What a page of a privately mapped file is to a process. In ascending order of what it costs.
enum class PageState : uint8_t {
    kAbsent,  // not in its page table: never touched, or taken away again
    kShared,  // the file's own page, the same one for everybody
    kDirty,   // written, hence a copy of its own (also while that is swapped out)
};

// Of one entry of /proc/PID/pagemap (pagemap.h).
PageState page_state(uint64_t pagemap_entry);

// Of as many entries as there are states, in the same order; `entries` has 8 bytes for each.
// Where a state is already there the costlier one stays: a file may be mapped more than once.
void merge_pagemap(std::span<const std::byte> entries, std::span<PageState> states);

// Which file a mapping is of, as stat(2) and /proc/PID/maps agree on it.
struct FileIdentity {
    uint32_t device_major = 0;
    uint32_t device_minor = 0;
    uint64_t inode = 0;
    bool operator==(const FileIdentity&) const = default;
};

// One line of /proc/PID/maps (proc_pid_maps(5)).
struct MapsEntry {
    uint64_t begin = 0;
    uint64_t end = 0;  // above begin; both are multiples of the page size
    uint64_t offset = 0;
    FileIdentity file;
    std::string name;  // "/memfd:pycds-img-1 (deleted)"; any bytes, or empty
};

// kSystem with the number of the first line that is none. No text is no entries: what a process
// without memory has, one that has ended above all.
Result<std::vector<MapsEntry>> parse_maps(std::string_view text);

// A run of pages of a file and where a process has them.
struct MappedRun {
    uint64_t address = 0;
    uint64_t first_page = 0;  // of the file
    uint64_t pages = 0;
    bool operator==(const MappedRun&) const = default;
};

// Where the first `pages` pages of `file` are. Protections differ within an image, so it has
// several mappings; there may be gaps.
std::vector<MappedRun> runs_of(const std::vector<MapsEntry>& maps, const FileIdentity& file,
                               uint64_t pages);

}  // namespace pycds::ctl
