#include "daemon/build/report_reader.h"

#include <charconv>

namespace pycds::build {
namespace {

constexpr std::string_view kProgress = "progress ";
constexpr std::string_view kError = "error ";

// "DONE TOTAL" with nothing after it.
bool parse_progress(std::string_view text, uint32_t* done, uint32_t* total) {
    const char* const end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, *done);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != ' ') return false;
    const auto second = std::from_chars(first.ptr + 1, end, *total);
    return second.ec == std::errc() && second.ptr == end;
}

}  // namespace

void ReportReader::feed(std::string_view bytes) {
    for (const char c : bytes) {
        if (c == '\n') {
            take_line();
        } else if (line_.size() < kMaxLine) {
            line_.push_back(c);
        }
    }
}

void ReportReader::take_line() {
    const std::string_view line = line_;
    uint32_t done = 0;
    uint32_t total = 0;
    if (line.starts_with(kError)) {
        error_ = line.substr(kError.size());
    } else if (line.starts_with(kProgress) &&
               parse_progress(line.substr(kProgress.size()), &done, &total)) {
        on_progress_(done, total);
    }
    line_.clear();
}

}  // namespace pycds::build
