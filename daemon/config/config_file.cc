#include "daemon/config/config_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "src/common/base/text.h"
#include "src/common/os/unique_fd.h"

namespace pycds::config {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view trim(std::string_view text) {
    constexpr std::string_view kBlank = " \t\r";
    const size_t begin = text.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

Status parse_line(std::string_view line, Options* options) {
    if (!is_text_line(line)) {
        return Error{ErrorCode::kInvalidArgument, "not a line of UTF-8 text"};
    }
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
        return Error{ErrorCode::kInvalidArgument, "expected name = value, not '" +
                                                      printable(line.substr(0, 200)) +
                                                      (line.size() > 200 ? "...'" : "'")};
    }
    return set_option(options, trim(line.substr(0, equals)), trim(line.substr(equals + 1)));
}

Error cannot_read(const std::string& file) {
    return errno_error("cannot read " + printable(file));
}

bool is_there(const std::string& file) {
    struct stat st {};
    return lstat(file.c_str(), &st) == 0;
}

Status read_file(const std::string& file, MayBeMissing missing, Options* options) {
    // A FIFO would keep the daemon waiting, when it starts or, worse, when it reloads.
    const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd && errno == ENOENT && is_there(file)) {
        return Error{ErrorCode::kNotFound, "cannot read " + printable(file) +
                                               ": it is a symbolic link to what does not exist"};
    }
    if (!fd && errno == ENOENT && missing == MayBeMissing::kYes) return Ok{};
    if (!fd) return cannot_read(file);
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) return cannot_read(file);
    if (S_ISFIFO(st.st_mode)) {
        return Error{ErrorCode::kInvalidArgument,
                     "cannot read " + printable(file) + ": it is a pipe, not a file"};
    }
    std::string text;
    char buffer[4096];
    for (;;) {
        const ssize_t n = read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cannot_read(file);
        if (n == 0) break;
        text.append(buffer, static_cast<size_t>(n));
        if (text.size() > kMaxConfigBytes) {
            return Error{ErrorCode::kInvalidArgument,
                         printable(file) + " is no configuration file: it has more than " +
                             std::to_string(kMaxConfigBytes) + " bytes"};
        }
    }
    return parse_config(text, file, options);
}

// Names of the *.conf files of a directory, sorted; none if there is no directory.
Result<std::vector<std::string>> drop_ins(const std::string& directory) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
    if (!stream && errno == ENOENT && !is_there(directory)) return names;
    if (!stream) return cannot_read(directory);
    for (;;) {
        errno = 0;
        const dirent* entry = readdir(stream.get());
        if (entry == nullptr && errno != 0) return cannot_read(directory);
        if (entry == nullptr) break;
        const std::string_view name = entry->d_name;
        if (name.ends_with(".conf") && !name.starts_with('.')) names.emplace_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace

Status parse_config(std::string_view text, const std::string& file, Options* options) {
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    for (size_t number = 1; !text.empty(); ++number) {
        const size_t end = text.find('\n');
        const std::string_view line = trim(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.empty() || line.front() == '#') continue;
        const Status status = parse_line(line, options);
        if (!status) {
            return Error{status.error().code, printable(file) + ":" + std::to_string(number) +
                                                  ": " + status.error().message};
        }
    }
    return Ok{};
}

Status read_config(const std::string& file, MayBeMissing missing, Options* options) {
    const Status read = read_file(file, missing, options);
    if (!read) return read.error();
    const std::string directory = file + ".d";
    const Result<std::vector<std::string>> names = drop_ins(directory);
    if (!names) return names.error();
    for (const std::string& name : *names) {
        const Status drop_in = read_file(directory + "/" + name, MayBeMissing::kNo, options);
        if (!drop_in) return drop_in.error();
    }
    return Ok{};
}

}  // namespace pycds::config
