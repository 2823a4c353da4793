#include "daemon/config/config_file.h"

#include <fcntl.h>

#include <cerrno>

#include "src/common/os/unique_fd.h"

namespace pycds::config {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;

std::string_view trim(std::string_view text) {
    constexpr std::string_view kBlank = " \t\r";
    const size_t begin = text.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

Status parse_line(std::string_view line, Options* options) {
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
        return Error{ErrorCode::kInvalidArgument,
                     "expected name = value, not '" + std::string(line) + "'"};
    }
    return set_option(options, trim(line.substr(0, equals)), trim(line.substr(equals + 1)));
}

}  // namespace

Status parse_config(std::string_view text, const std::string& file, Options* options) {
    for (size_t number = 1; !text.empty(); ++number) {
        const size_t end = text.find('\n');
        const std::string_view line = trim(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.empty() || line.front() == '#') continue;
        const Status status = parse_line(line, options);
        if (!status) {
            return Error{status.error().code,
                         file + ":" + std::to_string(number) + ": " + status.error().message};
        }
    }
    return Ok{};
}

Status read_config(const std::string& file, Options* options) {
    const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return errno_error("cannot read " + file);
    std::string text;
    char buffer[4096];
    for (;;) {
        const ssize_t n = read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error("cannot read " + file);
        if (n == 0) break;
        text.append(buffer, static_cast<size_t>(n));
        if (text.size() > kMaxConfigBytes) {
            return Error{ErrorCode::kInvalidArgument,
                         file + " is no configuration file: it has more than " +
                             std::to_string(kMaxConfigBytes) + " bytes"};
        }
    }
    return parse_config(text, file, options);
}

}  // namespace pycds::config
