// Log lines as they arrive at the other end of stderr.
#include "src/common/base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "src/common/base/event.h"

namespace pycds {
namespace {

// Points stderr at a pipe for its lifetime.
class CaughtStderr {
  public:
    CaughtStderr() {
        int ends[2];
        EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        read_end_ = ends[0];
        saved_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
    }
    ~CaughtStderr() { restore(); }

    std::string text() {
        restore();
        char buffer[4096];
        const ssize_t got = read(read_end_, buffer, sizeof buffer);
        return got > 0 ? std::string(buffer, static_cast<size_t>(got)) : std::string();
    }

  private:
    void restore() {
        if (saved_ < 0) return;
        dup2(saved_, STDERR_FILENO);
        close(saved_);
        saved_ = -1;
    }
    int read_end_ = -1;
    int saved_ = -1;
};

TEST(Log, LinesCarryTheirLevelAndEndOnce) {
    CaughtStderr caught;
    log_error("bad");
    log_warning("odd");
    log_info("fine");
    EXPECT_EQ(caught.text(), "error: bad\nwarning: odd\nfine\n");
}

TEST(Log, ThresholdDropsWhatIsMoreVerbose) {
    CaughtStderr caught;
    log_debug("dropped");
    set_log_threshold(LogLevel::kDebug);
    log_debug("kept");
    set_log_threshold(LogLevel::kError);
    log_warning("dropped too");
    set_log_threshold(LogLevel::kInfo);
    EXPECT_EQ(caught.text(), "debug: kept\n");
}

TEST(Log, AClosedStderrIsNoReasonToFail) {
    CaughtStderr caught;
    close(STDERR_FILENO);
    log_error("nobody hears this");
    EXPECT_EQ(caught.text(), "");
}

TEST(Log, AnEventIsALineUnlessASinkTakesIt) {
    CaughtStderr caught;
    log_event(Event::kBuildFailed, "no", {{field::kReason, "why"}});
    static int taken = 0;
    static bool takes = true;
    set_event_sink([](const EventInfo& info, std::string_view message, const EventFields& fields) {
        taken += info.event == Event::kStarted && message == "up" && fields.size() == 1 ? 1 : 100;
        return takes;
    });
    log_event(Event::kStarted, "up", {{field::kVersion, "1"}});
    takes = false;
    log_event(Event::kStarted, "up", {{field::kVersion, "1"}});
    set_log_threshold(LogLevel::kWarning);
    log_event(Event::kStarted, "dropped");
    set_log_threshold(LogLevel::kInfo);
    set_event_sink(nullptr);
    EXPECT_EQ(taken, 2);
    EXPECT_EQ(caught.text(), "warning: no\nup\n");
}

}  // namespace
}  // namespace pycds
