#include "ctl/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "ctl/output.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

constexpr std::chrono::milliseconds kSilence{1000};
constexpr std::chrono::milliseconds kBetween{100};
constexpr size_t kBarWidth = 30;

void put(std::string_view text) {
    // A bar that cannot be drawn is no reason to fail.
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

std::string progress_line(const std::string& label, uint32_t done, uint32_t total, uint64_t seconds,
                          size_t width) {
    std::string line = printable(label);
    if (total > 0) {
        const uint32_t shown = std::min(done, total);
        const size_t filled = kBarWidth * shown / total;
        line += fmt::format(" [{:#<{}}{:-<{}}] {}/{}", "", filled, "", kBarWidth - filled, shown,
                            total);
    }
    line += fmt::format(" {} s", seconds);
    if (line.size() > width) line.resize(width);
    return line;
}

Progress::Progress() : terminal_(is_terminal(STDERR_FILENO)) {}

Progress::~Progress() {
    if (drawn_) put("\r\033[K");
}

void Progress::set(std::string label, uint32_t done, uint32_t total) {
    label_ = std::move(label);
    done_ = done;
    total_ = total;
    tick();
}

void Progress::tick() {
    const Clock::time_point now = Clock::now();
    if (!terminal_ || now - start_ < kSilence || now - last_ < kBetween) return;
    last_ = now;
    drawn_ = true;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - start_).count();
    put(fmt::format("\r{}\033[K",
                    progress_line(label_, done_, total_, static_cast<uint64_t>(seconds),
                                  terminal_width(STDERR_FILENO, 80) - 1)));
}

}  // namespace pycds::ctl
