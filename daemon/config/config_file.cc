#include "daemon/config/config_file.h"

#include <cerrno>
#include <fstream>
#include <iterator>

namespace pycds::config {
namespace {

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
    errno = 0;
    std::ifstream stream(file, std::ios::binary);
    if (!stream) return errno_error("cannot read " + file);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    if (stream.bad()) return errno_error("cannot read " + file);
    return parse_config(text, file, options);
}

}  // namespace pycds::config
