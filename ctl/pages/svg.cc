#include "ctl/pages/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "ctl/output.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

using Out = std::back_insert_iterator<std::string>;

// All in pixels but the counts of cells.
constexpr uint64_t kMostCells = 32768;
constexpr uint64_t kCellsInRow = 256;  // a MiB, if each is a page
constexpr uint64_t kCell = 4;
constexpr uint64_t kPitch = kCell + 1;
constexpr uint64_t kRowPitch = kPitch + 2;  // room for the mark of the hot part
constexpr uint64_t kMargin = 24;
constexpr uint64_t kLegendStep = 140;
constexpr uint64_t kWidth = 2 * kMargin + kCellsInRow * kPitch;

// From a class of cells to its colour: a (absent), s (shared), d1 to d5 (dirty, by part).
constexpr int kShades = 5;
constexpr const char* kStyle =
    "text{font:12px sans-serif;fill:#1f2328}.h{font-size:17px;font-weight:bold}"
    ".b{font-weight:bold}.n{fill:#59636e}"
    ".a{fill:#e3e6ea}.s{fill:#7fb2e5}"
    ".d1{fill:#fbd3a8}.d2{fill:#f7b16f}.d3{fill:#f08a43}.d4{fill:#de5f2b}.d5{fill:#c1301c}"
    ".hot{fill:#1f2328}";

std::string escaped(std::string_view bytes) {
    std::string text;
    for (const char c : printable(bytes)) {
        switch (c) {
            case '&': text += "&amp;"; break;
            case '<': text += "&lt;"; break;
            case '>': text += "&gt;"; break;
            case '"': text += "&quot;"; break;
            default: text += c;
        }
    }
    return text;
}

std::string class_of(const PageCell& cell) {
    if (cell.dirty > 0) {
        const double shade = std::ceil(cell.dirty * kShades);
        return fmt::format("d{}", std::clamp(static_cast<int>(shade), 1, kShades));
    }
    return cell.present ? "s" : "a";
}

void text_at(Out out, uint64_t x, uint64_t y, const char* kind, std::string_view content) {
    fmt::format_to(out,
                   R"(<text x="{}" y="{}" class="{}">{}</text>)"
                   "\n",
                   x, y, kind, content);
}

// Mean over the processes; whole numbers stay whole.
std::string mean(uint64_t sum, size_t processes) {
    if (sum % processes == 0) return std::to_string(sum / processes);
    return fmt::format("{:.1f}", static_cast<double>(sum) / static_cast<double>(processes));
}

std::string counts_text(const PageSums& sums, size_t processes) {
    std::string text =
        fmt::format("{}: {} dirty, {} shared, {} absent",
                    count_text(sums.sum.pages / processes, "page"), mean(sums.sum.dirty, processes),
                    mean(sums.sum.shared, processes), mean(sums.sum.absent, processes));
    if (sums.sum.hot_pages > 0) {
        text += fmt::format("; {} hot, {} of them dirty", sums.sum.hot_pages / processes,
                            mean(sums.sum.hot_dirty, processes));
    }
    return text;
}

std::string processes_text(const PageReport& report) {
    constexpr size_t kNamed = 8;
    const size_t count = report.processes.size();
    if (count > kNamed) return fmt::format("{} processes; counts are means", count);
    std::string text = count == 1 ? "process" : "processes";
    for (const ProcessPages& process : report.processes) text += fmt::format(" {}", process.pid);
    return count == 1 ? text : text + "; counts are means";
}

// Neighbours of one class in a row are one path, which keeps large images readable by browsers.
void draw_cells(Out out, const std::vector<PageCell>& cells, uint64_t top) {
    for (uint64_t at = 0; at < cells.size();) {
        const std::string kind = class_of(cells[at]);
        const uint64_t y = top + at / kCellsInRow * kRowPitch;
        fmt::format_to(out, R"(<path class="{}" d=")", kind);
        const uint64_t row_end = (at / kCellsInRow + 1) * kCellsInRow;
        for (; at < std::min<uint64_t>(row_end, cells.size()) && class_of(cells[at]) == kind;
             ++at) {
            fmt::format_to(out, "M{} {}h{}v{}h-{}z", kMargin + at % kCellsInRow * kPitch, y, kCell,
                           kCell, kCell);
        }
        fmt::format_to(out, "\"/>\n");
    }
}

// A line under the hot part.
void draw_hot(Out out, uint64_t hot_cells, uint64_t top) {
    for (uint64_t at = 0; at < hot_cells; at += kCellsInRow) {
        const uint64_t count = std::min(kCellsInRow, hot_cells - at);
        fmt::format_to(out,
                       R"(<rect class="hot" x="{}" y="{}" width="{}" height="1"/>)"
                       "\n",
                       kMargin, top + at / kCellsInRow * kRowPitch + kCell + 1, count * kPitch - 1);
    }
}

uint64_t draw_region(Out out, const PageReport& report, const PageRegion& region, uint64_t per_cell,
                     uint64_t y) {
    PageSums sums;
    for (const ProcessPages& process : report.processes) sums.add(count_pages(region, process));
    const std::string counts = counts_text(sums, report.processes.size());
    fmt::format_to(out, "<g><title>{}: {}</title>\n", region.kind, counts);
    fmt::format_to(out,
                   R"(<text x="{}" y="{}"><tspan class="b">{}</tspan>)"
                   R"(<tspan class="n" dx="8">{}, {}</tspan></text>)"
                   "\n",
                   kMargin, y + 12, region.kind, human_size(region.size), counts);
    const std::vector<PageCell> cells = page_cells(report, region, per_cell);
    constexpr uint64_t kTitle = 19;
    constexpr uint64_t kGap = 7;
    draw_cells(out, cells, y + kTitle);
    draw_hot(out,
             static_cast<uint64_t>(std::count_if(cells.begin(), cells.end(),
                                                 [](const PageCell& cell) { return cell.hot; })),
             y + kTitle);
    fmt::format_to(out, "</g>\n");
    return y + kTitle + (cells.size() + kCellsInRow - 1) / kCellsInRow * kRowPitch + kGap;
}

void draw_legend(Out out, const PageReport& report, uint64_t per_cell, uint64_t y) {
    uint64_t x = kMargin;
    const auto entry = [&](const char* kind, uint64_t height, const std::string& text) {
        fmt::format_to(out,
                       R"(<rect class="{}" x="{}" y="{}" width="10" height="{}"/>)"
                       "\n",
                       kind, x, y - height + 1, height);
        text_at(out, x + 16, y, "n", text);
        x += kLegendStep;
    };
    entry("a", 10, "absent");
    entry("s", 10, "shared");
    if (per_cell == 1 && report.processes.size() == 1) {
        entry("d5", 10, "dirty");
    } else {
        for (int shade = 1; shade <= kShades; ++shade) {
            entry(fmt::format("d{}", shade).c_str(), 10,
                  fmt::format("dirty up to {}%", shade * 100 / kShades));
        }
    }
    // Under its cells, as there.
    entry("hot", 1, "hot part");
}

}  // namespace

std::string pages_svg(const PageReport& report) {
    const uint64_t per_cell = std::max<uint64_t>(1, (report.pages() + kMostCells - 1) / kMostCells);
    const size_t processes = report.processes.size();
    PageSums total;
    for (const ProcessPages& process : report.processes) total.add(count_pages(report, process));

    std::string body;
    const Out out(body);
    uint64_t y = kMargin + 16;
    text_at(out, kMargin, y, "h", "Pages of image " + escaped(report.image));
    y += 22;
    text_at(out, kMargin, y, "n", escaped(report.python) + "; " + processes_text(report));
    y += 20;
    text_at(out, kMargin, y, "b",
            fmt::format("{}. Dirty are {} KiB{}.", counts_text(total, processes),
                        mean(total.sum.dirty * (image::kPageSize / 1024), processes),
                        processes == 1 ? "" : " of each process"));
    y += 24;
    draw_legend(out, report, per_cell, y);
    y += 18;
    text_at(out, kMargin, y, "n",
            fmt::format("a cell is {}, a full row {}", count_text(per_cell, "page"),
                        human_size(per_cell * kCellsInRow * image::kPageSize)));
    y += 16;
    for (const PageRegion& region : report.regions) {
        if (region.pages > 0) y = draw_region(out, report, region, per_cell, y);
    }
    const uint64_t height = y + kMargin - 7;
    return fmt::format(R"(<?xml version="1.0" encoding="UTF-8"?>)"
                       "\n"
                       R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" )"
                       R"(viewBox="0 0 {0} {1}">)"
                       "\n<style>{2}</style>\n"
                       R"(<rect width="{0}" height="{1}" fill="#ffffff"/>)"
                       "\n{3}</svg>\n",
                       kWidth, height, kStyle, body);
}

}  // namespace pycds::ctl
