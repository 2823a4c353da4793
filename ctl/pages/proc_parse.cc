#include "ctl/pages/proc_parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "src/common/image/format.h"
#include "src/common/os/pagemap.h"

namespace pycds::ctl {
namespace {

// Takes fields off the front of a line.
class Fields {
  public:
    explicit Fields(std::string_view line) : rest_(line) {}

    template <typename Number>
    bool number(Number* value, int base) {
        const auto [end, failure] =
            std::from_chars(rest_.data(), rest_.data() + rest_.size(), *value, base);
        if (failure != std::errc{}) return false;
        rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
        return true;
    }
    bool literal(char expected) {
        if (!rest_.starts_with(expected)) return false;
        rest_.remove_prefix(1);
        return true;
    }
    bool skip(size_t count) {
        if (rest_.size() < count) return false;
        rest_.remove_prefix(count);
        return true;
    }
    // What is left without the blanks before it.
    std::string_view remainder() const {
        return rest_.substr(std::min(rest_.find_first_not_of(' '), rest_.size()));
    }

  private:
    std::string_view rest_;
};

// begin-end perms offset major:minor inode      name
bool parse_line(std::string_view line, MapsEntry* entry) {
    constexpr size_t kPermissions = 4;
    Fields fields(line);
    if (!fields.number(&entry->begin, 16) || !fields.literal('-') ||
        !fields.number(&entry->end, 16) || !fields.literal(' ') || !fields.skip(kPermissions) ||
        !fields.literal(' ') || !fields.number(&entry->offset, 16) || !fields.literal(' ') ||
        !fields.number(&entry->file.device_major, 16) || !fields.literal(':') ||
        !fields.number(&entry->file.device_minor, 16) || !fields.literal(' ') ||
        !fields.number(&entry->file.inode, 10)) {
        return false;
    }
    entry->name = fields.remainder();
    return entry->begin < entry->end && entry->begin % image::kPageSize == 0 &&
           entry->end % image::kPageSize == 0 && entry->offset % image::kPageSize == 0;
}

}  // namespace

PageState page_state(uint64_t pagemap_entry) {
    if (!page_exists(pagemap_entry)) return PageState::kAbsent;
    return page_is_own(pagemap_entry) ? PageState::kDirty : PageState::kShared;
}

void merge_pagemap(std::span<const std::byte> entries, std::span<PageState> states) {
    const size_t count = std::min(states.size(), entries.size() / sizeof(uint64_t));
    for (size_t i = 0; i < count; ++i) {
        uint64_t entry = 0;
        std::memcpy(&entry, entries.data() + i * sizeof entry, sizeof entry);
        states[i] = std::max(states[i], page_state(entry));
    }
}

Result<std::vector<MapsEntry>> parse_maps(std::string_view text) {
    std::vector<MapsEntry> entries;
    while (!text.empty()) {
        // A line end in a name is written as \012.
        const size_t end = text.find('\n');
        MapsEntry entry;
        if (!parse_line(text.substr(0, end), &entry)) {
            return Error{ErrorCode::kSystem,
                         fmt::format("line {} is none of proc_pid_maps(5)", entries.size() + 1)};
        }
        entries.push_back(std::move(entry));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return entries;
}

std::vector<MappedRun> runs_of(const std::vector<MapsEntry>& maps, const FileIdentity& file,
                               uint64_t pages) {
    std::vector<MappedRun> runs;
    if (file.inode == 0) return runs;  // memory of no file has that
    for (const MapsEntry& entry : maps) {
        const uint64_t first = entry.offset / image::kPageSize;
        if (entry.file != file || first >= pages) continue;
        const uint64_t mapped = (entry.end - entry.begin) / image::kPageSize;
        runs.push_back({entry.begin, first, std::min(mapped, pages - first)});
    }
    return runs;
}

}  // namespace pycds::ctl
