#include "ctl/pages/report.h"

#include <algorithm>

#include "ctl/json.h"

namespace pycds::ctl {
namespace {

using image::kPageSize;

uint64_t pages_of(uint64_t bytes) {
    return (bytes + kPageSize - 1) / kPageSize;
}

void write_counts(JsonWriter& json, const PageCounts& counts) {
    json.field("pages", counts.pages)
        .field("dirty", counts.dirty)
        .field("shared", counts.shared)
        .field("absent", counts.absent)
        .field("hot_pages", counts.hot_pages)
        .field("hot_dirty", counts.hot_dirty);
}

}  // namespace

std::vector<PageRegion> page_regions(const image::Header& header) {
    std::vector<PageRegion> regions{{"header", false, 0, 1, 0, header.prefix.header_size}};
    uint64_t next = 1;
    const auto pad_to = [&](uint64_t page) {
        if (page > next) regions.push_back({"padding", false, next, page - next, 0, 0});
        next = page;
    };
    for (uint32_t i = 0; i < header.region_count; ++i) {
        const image::RegionEntry& entry = header.regions[i];
        pad_to(entry.offset / kPageSize);
        const bool objects = static_cast<uint32_t>(entry.kind) < image::kFirstTableKind;
        const uint64_t pages = pages_of(entry.size);
        regions.push_back({image::region_kind_name(entry.kind), objects, next, pages,
                           objects ? pages_of(entry.hot_size) : 0, entry.size});
        next += pages;
    }
    pad_to(header.prefix.image_size / kPageSize);
    return regions;
}

PageCounts& PageCounts::operator+=(const PageCounts& other) {
    pages += other.pages;
    dirty += other.dirty;
    shared += other.shared;
    absent += other.absent;
    hot_pages += other.hot_pages;
    hot_dirty += other.hot_dirty;
    return *this;
}

PageCounts count_pages(const PageRegion& region, const ProcessPages& process) {
    PageCounts counts;
    counts.pages = region.pages;
    counts.hot_pages = region.hot_pages;
    for (uint64_t i = 0; i < region.pages; ++i) {
        switch (process.states[region.first + i]) {
            case PageState::kAbsent: ++counts.absent; break;
            case PageState::kShared: ++counts.shared; break;
            case PageState::kDirty:
                ++counts.dirty;
                if (i < region.hot_pages) ++counts.hot_dirty;
                break;
        }
    }
    return counts;
}

PageCounts count_pages(const PageReport& report, const ProcessPages& process) {
    PageCounts counts;
    for (const PageRegion& region : report.regions) counts += count_pages(region, process);
    return counts;
}

void PageSums::add(const PageCounts& counts) {
    sum += counts;
    most_dirty = std::max(most_dirty, counts.dirty);
}

std::vector<PageCell> page_cells(const PageReport& report, const PageRegion& region,
                                 uint64_t per_cell) {
    std::vector<PageCell> cells;
    for (uint64_t at = 0; at < region.pages;) {
        PageCell cell;
        cell.hot = at < region.hot_pages;
        cell.pages = std::min(per_cell, (cell.hot ? region.hot_pages : region.pages) - at);
        uint64_t dirty = 0;
        for (const ProcessPages& process : report.processes) {
            for (uint64_t i = 0; i < cell.pages; ++i) {
                const PageState state = process.states[region.first + at + i];
                if (state == PageState::kDirty) ++dirty;
                if (state != PageState::kAbsent) cell.present = true;
            }
        }
        cell.dirty =
            static_cast<double>(dirty) / static_cast<double>(cell.pages * report.processes.size());
        cells.push_back(cell);
        at += cell.pages;
    }
    return cells;
}

std::string pages_json(const PageReport& report) {
    JsonWriter json;
    json.begin_object()
        .field("image", report.image)
        .field("generation", report.generation)
        .field("page_size", kPageSize);
    json.key("processes").begin_array();
    for (const ProcessPages& process : report.processes) {
        json.begin_object().field("pid", static_cast<uint64_t>(process.pid));
        write_counts(json, count_pages(report, process));
        json.key("regions").begin_array();
        for (const PageRegion& region : report.regions) {
            json.begin_object().field("kind", region.kind).field("objects", region.objects);
            write_counts(json, count_pages(region, process));
            json.end_object();
        }
        json.end_array().end_object();
    }
    json.end_array().end_object();
    return json.text();
}

}  // namespace pycds::ctl
