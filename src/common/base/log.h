// Where log lines go. One process has one sink; lines carry a syslog level so that journald sorts
// them when stderr is its stream.
#pragma once

#include <string_view>

namespace pycds {

// Values are syslog's (syslog(3)), which is what "<N>" prefixes mean to journald (sd-daemon(3)).
enum class LogLevel : int { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

// Lines above this level are dropped. Default: kInfo. Thread-safe.
void set_log_threshold(LogLevel most_verbose);
bool log_shows(LogLevel level);

// Is stderr a stream of the journal's? Asked once, of the stderr of that moment.
bool log_is_journal();

// Writes one line to stderr with a single write(2), so lines of several threads do not mix. The
// line is prefixed with "<N>" where stderr is a journal stream ($JOURNAL_STREAM, systemd.exec(5))
// and with "error: " and the like elsewhere. `text` holds no newline.
void log_line(LogLevel level, std::string_view text);

inline void log_error(std::string_view text) {
    log_line(LogLevel::kError, text);
}
inline void log_warning(std::string_view text) {
    log_line(LogLevel::kWarning, text);
}
inline void log_notice(std::string_view text) {
    log_line(LogLevel::kNotice, text);
}
inline void log_info(std::string_view text) {
    log_line(LogLevel::kInfo, text);
}
inline void log_debug(std::string_view text) {
    log_line(LogLevel::kDebug, text);
}

}  // namespace pycds
