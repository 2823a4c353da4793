#include "daemon/config/options.h"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstdlib>

namespace pycds::config {
namespace {

constexpr const char* kSystemSocket = "/run/pycds/pycdsd.sock";
constexpr const char* kInstalledClients = PYCDS_INSTALLED_CLIENTS;

Error bad_value(std::string_view name, std::string_view value, const std::string& expected) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string(name) + " is " + expected + ", not '" + std::string(value) + "'"};
}

template <typename Number>
Status set_number(Number* out, std::string_view name, std::string_view value, Number min,
                  Number max) {
    Number number = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
    if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() || number < min ||
        number > max) {
        return bad_value(name, value,
                         "a number from " + std::to_string(min) + " to " + std::to_string(max));
    }
    *out = number;
    return Ok{};
}

Status set_flag(bool* out, std::string_view name, std::string_view value) {
    if (value == "true" || value == "yes") {
        *out = true;
    } else if (value == "false" || value == "no") {
        *out = false;
    } else {
        return bad_value(name, value, "'true' or 'false'");
    }
    return Ok{};
}

Status set_path(std::string* out, std::string_view name, std::string_view value) {
    if (value.empty() || value.front() != '/') return bad_value(name, value, "an absolute path");
    *out = value;
    return Ok{};
}

std::string parent_of(const std::string& path) {
    return path.substr(0, path.rfind('/'));
}

// <directory of the running program>/../client, without the dots.
std::string clients_beside_program() {
    char path[PATH_MAX];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
    if (size <= 0 || static_cast<size_t>(size) == sizeof path) return {};
    return parent_of(parent_of(std::string(path, static_cast<size_t>(size)))) + "/client";
}

bool is_directory(const std::string& path) {
    struct stat st {};
    return stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

}  // namespace

Status set_option(Options* options, std::string_view name, std::string_view value) {
    if (name == "socket") return set_path(&options->socket, name, value);
    if (name == "user") return set_flag(&options->user, name, value);
    if (name == "clients") return set_path(&options->clients, name, value);
    if (name == "build-deadline") {
        return set_number<uint32_t>(&options->build_deadline_s, name, value, 1, 86'400);
    }
    // Upper bounds only keep the number of bytes from overflowing.
    constexpr uint64_t kMostMib = uint64_t{1} << 30;
    if (name == "build-memory") {
        return set_number<uint64_t>(&options->build_memory_mib, name, value, 64, kMostMib);
    }
    if (name == "image-budget") {
        return set_number<uint64_t>(&options->image_budget_mib, name, value, 1, kMostMib);
    }
    if (name == "verbose") return set_flag(&options->verbose, name, value);
    return Error{ErrorCode::kInvalidArgument, "no such option: " + std::string(name)};
}

Status fill_in_defaults(Options* options) {
    if (options->socket.empty() && !options->user) options->socket = kSystemSocket;
    if (options->socket.empty()) {
        const char* runtime = std::getenv("XDG_RUNTIME_DIR");
        if (runtime == nullptr || *runtime != '/') {
            return Error{ErrorCode::kInvalidArgument,
                         "--user needs XDG_RUNTIME_DIR, which is not set to an absolute path; name "
                         "a socket with --socket"};
        }
        options->socket = std::string(runtime) + "/pycds/pycdsd.sock";
    }
    if (options->clients.empty()) {
        // The layout of the build tree and of <prefix>/lib/pycds is the same.
        const std::string beside = clients_beside_program();
        options->clients = is_directory(beside) ? beside : kInstalledClients;
    }
    return Ok{};
}

}  // namespace pycds::config
