#include "daemon/build/builder_process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/core/plan.h"

namespace pycds::build {
namespace {

constexpr size_t kErrorTail = 4096;
// Exit status by which a builder says that it is none for this interpreter (PROTOCOL.md).
constexpr int kNoClient = 3;

Error failed(std::string message) {
    return Error{ErrorCode::kBuildFailed, std::move(message)};
}

enum class Stream { kOpen, kEnded };

// Passes on what can be read now, but no more than a few buffers: a builder that writes without
// end must not keep the loop from its other work.
template <typename Feed>
Stream drain(int fd, Feed&& feed) {
    char buffer[4096];
    for (int i = 0; i < 16; ++i) {
        const ssize_t n = read(fd, buffer, sizeof buffer);
        if (n > 0) {
            feed(std::string_view(buffer, static_cast<size_t>(n)));
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            return n < 0 && errno == EAGAIN ? Stream::kOpen : Stream::kEnded;
        }
    }
    return Stream::kOpen;
}

std::string signal_text(int number) {
    const char* name = sigabbrev_np(number);
    return "signal " + std::to_string(number) +
           (name == nullptr ? std::string() : std::string(" (SIG") + name + ")");
}

}  // namespace

BuilderProcess::BuilderProcess(core::EventLoop& loop, Reaper& reaper, Setup setup,
                               core::BuilderCallbacks callbacks)
    : reaper_(reaper),
      setup_(std::move(setup)),
      callbacks_(std::move(callbacks)),
      report_reader_(callbacks_.on_progress),
      error_tail_(kErrorTail) {
    report_watch_ = loop.watch_readable(setup_.report.get(), [this] { on_report(); });
    error_watch_ = loop.watch_readable(setup_.error_out.get(), [this] { on_error_out(); });
    exit_watch_ = loop.watch_readable(setup_.process.pid_fd.get(), [this] { on_exit(); });
    deadline_watch_ = loop.call_after(setup_.deadline, [this] { on_deadline(); });
}

BuilderProcess::~BuilderProcess() {
    // Its descriptor is watched for us until now.
    exit_watch_.reset();
    if (!waited_for_) reaper_.take(std::move(setup_.process));
}

void BuilderProcess::on_report() {
    const Stream stream =
        drain(setup_.report.get(), [this](std::string_view bytes) { report_reader_.feed(bytes); });
    if (stream == Stream::kEnded) report_watch_.reset();
}

void BuilderProcess::on_error_out() {
    const Stream stream =
        drain(setup_.error_out.get(), [this](std::string_view bytes) { error_tail_.feed(bytes); });
    if (stream == Stream::kEnded) error_watch_.reset();
}

void BuilderProcess::on_deadline() {
    deadline_passed_ = true;
    kill_group(setup_.process.pid);
}

void BuilderProcess::on_exit() {
    // First what it started and left behind, while its number is still its own.
    kill_group(setup_.process.pid);
    int wait_status = 0;
    pid_t pid = 0;
    do {
        pid = waitpid(setup_.process.pid, &wait_status, WNOHANG);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0) return;
    waited_for_ = true;
    // Its last words may still be in the pipes.
    if (report_watch_) on_report();
    if (error_watch_) on_error_out();
    exit_watch_.reset();
    deadline_watch_.reset();

    const Status status =
        pid < 0 ? Status(errno_error("cannot wait for the builder")) : outcome(wait_status);
    const auto on_exit = std::move(callbacks_.on_exit);
    if (status) {
        on_exit(std::move(setup_.output));
    } else {
        on_exit(status.error());
    }
    // `this` may be gone.
}

// The builder says so in its output while there is no image in it (PROTOCOL.md).
std::string BuilderProcess::where() const {
    uint64_t place = 0;
    char path[4097];
    if (!setup_.plan || pread(setup_.output.get(), &place, sizeof place, 0) != sizeof place ||
        place == 0 || place > core::kMaxPlanBytes) {
        return {};
    }
    const ssize_t size = pread(setup_.plan.get(), path, sizeof path, static_cast<off_t>(place) - 1);
    const void* end = size > 0 ? std::memchr(path, '\0', static_cast<size_t>(size)) : nullptr;
    if (end == nullptr || path[0] != '/') return {};
    return std::string(" while it read the .pyc of ") + path;
}

Status BuilderProcess::outcome(int wait_status) const {
    const std::string deadline = std::to_string(setup_.deadline.count());
    if (deadline_passed_) {
        return failed("the builder exceeded its deadline of " + deadline + " s" + where());
    }
    if (WIFSIGNALED(wait_status)) {
        const int number = WTERMSIG(wait_status);
        if (number == SIGXCPU) {
            return failed("the builder exceeded its deadline of " + deadline + " s (CPU time)" +
                          where());
        }
        std::string text = "the builder was killed by " + signal_text(number) + where();
        const std::string& said = report_reader_.error();
        return failed(said.empty() ? text : text + " after: " + said);
    }
    const int status = WEXITSTATUS(wait_status);
    if (status == 0) return Ok{};
    if (status == kNoClient) {
        return Error{ErrorCode::kNotFound, "no client for this interpreter: " + setup_.python};
    }
    if (!report_reader_.error().empty()) {
        return failed("the builder failed: " + report_reader_.error());
    }
    const std::string last = error_tail_.last_line();
    return failed("the builder failed with exit status " + std::to_string(status) +
                  (last.empty() ? ", without a word" : ": " + last));
}

}  // namespace pycds::build
