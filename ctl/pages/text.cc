#include "ctl/pages/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "ctl/output.h"
#include "ctl/table.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

constexpr size_t kLeastWidth = 20;
constexpr size_t kIndent = 2;
constexpr size_t kMostLines = 4;  // of the largest region
constexpr double kHalf = 0.5;
constexpr char kHotEnd = '|';

char glyph(const PageCell& cell) {
    if (cell.dirty >= 1) return '#';
    if (cell.dirty >= kHalf) return '*';
    if (cell.dirty > 0) return '+';
    return cell.present ? '-' : '.';
}

// SGR sequences (ECMA-48): what costs memory is red, what does not is green.
std::string_view colour_of(char mark) {
    switch (mark) {
        case '#': return "\033[31m";
        case '*': return "\033[35m";
        case '+': return "\033[33m";
        case '-': return "\033[32m";
        case '.': return "\033[2m";
        default: return "\033[1m";
    }
}

std::string coloured(std::string_view marks) {
    std::string text;
    for (size_t at = 0; at < marks.size();) {
        const size_t end = std::min(marks.find_first_not_of(marks[at], at), marks.size());
        text += colour_of(marks[at]);
        text += marks.substr(at, end - at);
        text += "\033[0m";
        at = end;
    }
    return text;
}

uint64_t choose_pages_per_character(const PageReport& report, size_t columns) {
    uint64_t most = 1;
    for (const PageRegion& region : report.regions) most = std::max(most, region.pages);
    // Two for the end of the hot part: its mark, and a character that is not full.
    const uint64_t room = kMostLines * columns - 2;
    return (most + room - 1) / room;
}

std::string legend(bool mixed, bool colour) {
    const auto mark = [colour](char c) { return colour ? coloured({&c, 1}) : std::string(1, c); };
    std::string line = mark('#') + " dirty  ";
    if (mixed) line += mark('*') + " half or more dirty  " + mark('+') + " less than half dirty  ";
    return line + mark('-') + " shared  " + mark('.') + " absent  " + mark(kHotEnd) +
           " end of the hot part\n";
}

std::string picture(const PageReport& report, const PageRegion& region, uint64_t per_cell,
                    size_t columns, bool colour) {
    std::string marks;
    bool hot = false;
    for (const PageCell& cell : page_cells(report, region, per_cell)) {
        if (hot && !cell.hot) marks += kHotEnd;
        hot = cell.hot;
        marks += glyph(cell);
    }
    if (hot) marks += kHotEnd;
    std::string text;
    for (std::string_view rest = marks; !rest.empty();) {
        std::string_view line = rest.substr(0, columns);
        // There is room for one more, so that the end of the hot part stays with it.
        if (rest.substr(line.size()).starts_with(kHotEnd)) line = rest.substr(0, columns + 1);
        rest.remove_prefix(line.size());
        text.append(kIndent, ' ');
        text += colour ? coloured(line) : std::string(line);
        text += '\n';
    }
    return text;
}

// Counts of one or several processes as cells of a table.
class Counts {
  public:
    explicit Counts(size_t processes) : processes_(processes) {}

    Table table() const {
        using enum Table::Align;
        std::vector<Table::Column> columns{
            {"REGION", kLeft}, {"SIZE", kRight}, {"PAGES", kRight}, {"DIRTY", kRight}};
        if (processes_ > 1) columns.push_back({"MOST", kRight});
        for (const char* title : {"SHARED", "ABSENT", "HOT", "HOT DIRTY"}) {
            columns.push_back({title, kRight});
        }
        return Table(std::move(columns));
    }

    std::vector<std::string> row(const std::string& name, const std::string& size,
                                 const PageSums& sums, bool hot, uint64_t unit = 1) const {
        const PageCounts& sum = sums.sum;
        std::vector<std::string> cells{name, size, std::to_string(sum.pages * unit / processes_),
                                       mean(sum.dirty * unit)};
        if (processes_ > 1) cells.push_back(std::to_string(sums.most_dirty * unit));
        cells.push_back(mean(sum.shared * unit));
        cells.push_back(mean(sum.absent * unit));
        cells.push_back(hot ? std::to_string(sum.hot_pages * unit / processes_) : "-");
        cells.push_back(hot ? mean(sum.hot_dirty * unit) : "-");
        return cells;
    }

  private:
    std::string mean(uint64_t sum) const {
        if (processes_ == 1) return std::to_string(sum);
        return fmt::format("{:.1f}", static_cast<double>(sum) / static_cast<double>(processes_));
    }

    size_t processes_;
};

std::string each_process(const PageReport& report) {
    using enum Table::Align;
    Table table({{"PROCESS", kRight}, {"DIRTY", kRight}, {"SHARED", kRight}, {"ABSENT", kRight}});
    for (const ProcessPages& process : report.processes) {
        const PageCounts counts = count_pages(report, process);
        table.add({std::to_string(process.pid), std::to_string(counts.dirty),
                   std::to_string(counts.shared), std::to_string(counts.absent)});
    }
    return table.text();
}

std::string_view take_line(std::string_view* text) {
    const size_t end = text->find('\n') + 1;
    const std::string_view line = text->substr(0, end);
    text->remove_prefix(end);
    return line;
}

}  // namespace

std::string pages_text(const PageReport& report, const TextStyle& style) {
    const size_t columns = std::max(style.width, kLeastWidth) - kIndent - 1;
    const uint64_t per_cell = choose_pages_per_character(report, columns);
    const size_t processes = report.processes.size();
    const Counts counts(processes);

    Table table = counts.table();
    PageSums total;
    for (const ProcessPages& process : report.processes) total.add(count_pages(report, process));
    for (const PageRegion& region : report.regions) {
        PageSums sums;
        for (const ProcessPages& process : report.processes) {
            sums.add(count_pages(region, process));
        }
        table.add(counts.row(region.kind, human_size(region.size), sums, region.objects));
    }
    const uint64_t bytes = report.pages() * image::kPageSize;
    table.add(counts.row("total", human_size(bytes), total, true));
    table.add(counts.row("total in KiB", "", total, true, image::kPageSize / 1024));

    const std::string rows = table.text();
    std::string_view rest = rows;
    std::string text = fmt::format("image {} in ", printable(report.image));
    text += processes == 1 ? fmt::format("process {}", report.processes.front().pid)
                           : fmt::format("{} processes", processes);
    text += "; a character is " + count_text(per_cell, "page");
    text += processes == 1 ? "\n" : " of each; counts are means, MOST is of one\n";
    text += legend(per_cell > 1 || processes > 1, style.colour) + '\n';
    text += take_line(&rest);
    for (const PageRegion& region : report.regions) {
        text += take_line(&rest);
        text += picture(report, region, per_cell, columns, style.colour);
    }
    text += '\n';
    text += rest;
    if (processes > 1) text += '\n' + each_process(report);
    return text;
}

}  // namespace pycds::ctl
