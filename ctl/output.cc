#include "ctl/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "src/common/base/text.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ctl {

namespace {

bool printed = false;

const char* code_name(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalidArgument: return "invalid-argument";
        case ErrorCode::kNotFound: return "not-found";
        case ErrorCode::kPermissionDenied: return "permission-denied";
        case ErrorCode::kUnavailable: return "unavailable";
        case ErrorCode::kCorrupt: return "corrupt";
        case ErrorCode::kBuildFailed: return "build-failed";
        case ErrorCode::kSystem: return "system";
    }
    return "system";
}

}  // namespace

Status print_out(std::string_view text) {
    printed = true;
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() ||
        std::fflush(stdout) != 0) {
        return errno_error("cannot write to standard output");
    }
    return Ok{};
}

bool has_printed() {
    return printed;
}

Status write_file(const std::string& path, std::string_view text) {
    const auto failure = [&path](int number) {
        Error error = errno_error("cannot write " + path, number);
        if (number == ENOENT || number == ENOTDIR) error.code = ErrorCode::kNotFound;
        if (number == EACCES || number == EPERM) error.code = ErrorCode::kPermissionDenied;
        return error;
    };
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!fd) return failure(errno);
    while (!text.empty()) {
        const ssize_t n = write(fd.get(), text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failure(errno);
        text.remove_prefix(static_cast<size_t>(n));
    }
    // Some file systems say only now that there is no room.
    if (close(fd.release()) != 0) return failure(errno);
    return Ok{};
}

bool is_terminal(int fd) {
    const char* type = std::getenv("TERM");
    return isatty(fd) == 1 && type != nullptr && std::string_view(type) != "dumb";
}

size_t terminal_width(int fd, size_t otherwise) {
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return otherwise;
    return size.ws_col;
}

std::string duration_text(uint64_t milliseconds) {
    const uint64_t seconds = milliseconds / 1000;
    if (milliseconds < 1000) return fmt::format("{} ms", milliseconds);
    if (seconds < 60) return fmt::format("{:.1f} s", static_cast<double>(milliseconds) / 1e3);
    if (seconds < 3600) return fmt::format("{} min", seconds / 60);
    if (seconds < 86400) return fmt::format("{} h", seconds / 3600);
    return fmt::format("{} d", seconds / 86400);
}

std::string age_text(uint64_t unix_milliseconds) {
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    // The clock may have been set back since.
    const uint64_t current = now > 0 ? static_cast<uint64_t>(now) : 0;
    return duration_text(current > unix_milliseconds ? current - unix_milliseconds : 0);
}

std::string hex_text(uint64_t value) {
    return fmt::format("{:#x}", value);
}

std::string domain_text(const wire::ImageInfo& image) {
    switch (image.domain) {
        case wire::Domain::kSystem: return "system";
        case wire::Domain::kUser: return fmt::format("user {}", image.domain_uid);
        case wire::Domain::kUnspecified: break;
    }
    return "unknown";
}

std::string count_text(uint64_t count, std::string_view noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

void write_json(JsonWriter& json, const wire::ImageInfo& image) {
    json.begin_object()
        .field("id", image.id)
        .field("identity", hex(image.identity.data(), image.identity.size()))
        .field("python", image.python)
        .field("generation", image.generation);
    json.field("domain", image.domain == wire::Domain::kSystem ? "system"
                         : image.domain == wire::Domain::kUser ? "user"
                                                               : "unknown");
    if (image.domain == wire::Domain::kUser) json.field("domain_uid", image.domain_uid);
    json.field("size", image.size)
        .field("requested_base", hex_text(image.requested_base))
        .field("modules", image.roots)
        .field("left_out", image.left_out)
        .field("published_unix_ms", image.published_unix_ms)
        .field("attaches", image.attaches)
        .end_object();
}

void write_json(JsonWriter& json, const Error& error) {
    json.begin_object()
        .field("code", code_name(error.code))
        .field("message", error.message)
        .end_object();
}

}  // namespace pycds::ctl
