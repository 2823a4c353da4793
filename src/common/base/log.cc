#include "src/common/base/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace pycds {
namespace {

std::atomic<int> threshold{static_cast<int>(LogLevel::kInfo)};

// systemd.exec(5): JOURNAL_STREAM is "device:inode" of the stream; it is inherited by children
// whose stderr may be something else, hence the comparison.
bool stderr_is_journal() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    if (stream == nullptr) return false;
    struct stat st {};
    if (fstat(STDERR_FILENO, &st) != 0) return false;
    unsigned long long dev = 0;
    unsigned long long ino = 0;
    if (std::sscanf(stream, "%llu:%llu", &dev, &ino) != 2) return false;
    return dev == st.st_dev && ino == st.st_ino;
}

std::string prefix_of(LogLevel level) {
    if (log_is_journal()) return "<" + std::to_string(static_cast<int>(level)) + ">";
    switch (level) {
        case LogLevel::kError: return "error: ";
        case LogLevel::kWarning: return "warning: ";
        case LogLevel::kNotice:
        case LogLevel::kInfo: return "";
        case LogLevel::kDebug: return "debug: ";
    }
    return "";
}

}  // namespace

void set_log_threshold(LogLevel most_verbose) {
    threshold = static_cast<int>(most_verbose);
}

bool log_shows(LogLevel level) {
    return static_cast<int>(level) <= threshold;
}

bool log_is_journal() {
    static const bool journal = stderr_is_journal();
    return journal;
}

void log_line(LogLevel level, std::string_view text) {
    if (!log_shows(level)) return;
    std::string line = prefix_of(level);
    line.append(text);
    line.push_back('\n');
    // A log that cannot be written is nobody's reason to fail.
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace pycds
