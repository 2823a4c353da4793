#include "daemon/config/options.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>

#include "src/common/base/text.h"

namespace pycds::config {
namespace {

constexpr const char* kSystemSocket = "/run/pycds/pycdsd.sock";
constexpr const char* kInstalledClients = PYCDS_INSTALLED_CLIENTS;
// Until the defaults are filled in: no cache because somebody said so.
constexpr std::string_view kNoCache = "none";

// What stands in a file may be anything, and as long as the file.
std::string shown(std::string_view value) {
    constexpr size_t kMost = 200;
    return "'" + printable(value.substr(0, kMost)) + (value.size() > kMost ? "..." : "") + "'";
}

Error bad_value(std::string_view name, std::string_view value, const std::string& expected) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string(name) + " is " + expected + ", not " + shown(value)};
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
    if (value.empty() || value.front() != '/' || value.find('\0') != std::string_view::npos) {
        return bad_value(name, value, "an absolute path");
    }
    if (value.size() >= PATH_MAX) {
        return bad_value(name, value, "a path of less than " + std::to_string(PATH_MAX) + " bytes");
    }
    *out = value;
    return Ok{};
}

Status set_socket(std::string* out, std::string_view name, std::string_view value) {
    constexpr size_t kMost = sizeof(sockaddr_un::sun_path) - 1;
    if (value.size() > kMost) {
        return bad_value(name, value, "a path of at most " + std::to_string(kMost) + " bytes");
    }
    return set_path(out, name, value);
}

Status add_path(std::vector<std::string>* out, std::string_view name, std::string_view value) {
    if (value.empty()) {
        out->clear();
        return Ok{};
    }
    std::string path;
    const Status set = set_path(&path, name, value);
    if (set && std::find(out->begin(), out->end(), path) == out->end()) out->push_back(path);
    return set;
}

Status set_cache(std::string* out, std::string_view name, std::string_view value) {
    if (value != kNoCache && (value.empty() || value.front() != '/')) {
        return bad_value(name, value, "an absolute path or 'none'");
    }
    if (value != kNoCache) return set_path(out, name, value);
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

const char* flag_text(bool flag) {
    return flag ? "true" : "false";
}

constexpr OptionInfo kOptions[] = {
    {"socket", "PATH",
     "where to listen; default /run/pycds/pycdsd.sock, with --user "
     "$XDG_RUNTIME_DIR/pycds/pycdsd.sock",
     true},
    {"user", nullptr, "serve only the user that starts it", true},
    {"clients", "DIR", "directory of the clients; default ../client beside the program", true},
    {"discover", "true|false",
     "make images for the interpreters of the system without being asked; default true, with "
     "--user false",
     false},
    {"interpreter", "PATH",
     "make images for this one too; may be repeated, an empty value forgets those before it",
     false},
    {"cache", "DIR",
     "keep images over a reboot in this directory, or 'none'; default $CACHE_DIRECTORY, which the "
     "service has, else none",
     true},
    {"image-budget", "MIB", "bytes of all images together; default 2048", false},
    {"user-image-budget", "MIB",
     "bytes of the images of one user, beside those; 0: users have none; default 128", false},
    {"users-image-budget", "MIB", "bytes of the images of all users together; default 512", false},
    {"build-deadline", "SECONDS", "how long building one image may take; default 300", false},
    {"build-memory", "MIB", "address space of a builder; default 4096", false},
    {"max-connections", "N", "connections of all users together; default 2048", false},
    {"user-connections", "N", "connections of one user; default 512", false},
    {"user-descriptors", "N",
     "descriptors that processes of one user may leave unread; default 1024", false},
    {"user-requests", "N",
     "connections and requests of one user in a second for each processor, root aside; default 500", false},
    {"user-builds", "N", "builds of one user in a minute, root aside; default 6", false},
    {"patience", "SECONDS", "how long a peer may neither ask nor read; default 5", false},
    {"verbose", nullptr, "log every connection that fails", false},
};

// The options that are plain numbers.
struct NumberOption {
    std::string_view name;
    uint64_t Options::*value;
    uint64_t min;
    uint64_t max;
};
// Upper bounds only keep a number of bytes, or of nanoseconds, from overflowing.
constexpr uint64_t kMostMib = uint64_t{1} << 30;
constexpr uint64_t kMost = 1'000'000;
constexpr NumberOption kNumberOptions[] = {
    {"image-budget", &Options::image_budget_mib, 1, kMostMib},
    {"user-image-budget", &Options::user_image_budget_mib, 0, kMostMib},
    {"users-image-budget", &Options::users_image_budget_mib, 0, kMostMib},
    {"build-memory", &Options::build_memory_mib, 64, kMostMib},
    {"max-connections", &Options::max_connections, 8, kMost},
    {"user-connections", &Options::user_connections, 1, kMost},
    {"user-descriptors", &Options::user_descriptors, 8, kMost},
    {"user-requests", &Options::user_requests, 1, kMost},
    {"user-builds", &Options::user_builds, 1, kMost},
    {"patience", &Options::patience_s, 1, 86'400},
};

const NumberOption* find_number(std::string_view name) {
    const auto* found =
        std::find_if(std::begin(kNumberOptions), std::end(kNumberOptions),
                     [&](const NumberOption& option) { return option.name == name; });
    return found == std::end(kNumberOptions) ? nullptr : found;
}

Error no_such_option(std::string_view name) {
    std::string names;
    for (const OptionInfo& option : kOptions) {
        names += (names.empty() ? "" : ", ") + std::string(option.name);
    }
    return Error{ErrorCode::kInvalidArgument,
                 "no such option: " + shown(name) + "; the options are " + names};
}

}  // namespace

std::span<const OptionInfo> all_options() {
    return kOptions;
}

Status set_option(Options* options, std::string_view name, std::string_view value) {
    if (name == "socket") return set_socket(&options->socket, name, value);
    if (name == "user") return set_flag(&options->user, name, value);
    if (name == "clients") return set_path(&options->clients, name, value);
    if (name == "discover") {
        bool discover = false;
        const Status set = set_flag(&discover, name, value);
        if (set) options->discover = discover;
        return set;
    }
    if (name == "interpreter") return add_path(&options->interpreters, name, value);
    if (name == "cache") return set_cache(&options->cache, name, value);
    if (name == "build-deadline") {
        return set_number<uint32_t>(&options->build_deadline_s, name, value, 1, 86'400);
    }
    if (const NumberOption* number = find_number(name)) {
        return set_number<uint64_t>(&(options->*number->value), name, value, number->min,
                                    number->max);
    }
    if (name == "verbose") return set_flag(&options->verbose, name, value);
    return no_such_option(name);
}

std::string option_text(const Options& options, std::string_view name) {
    if (name == "socket") return options.socket;
    if (name == "user") return flag_text(options.user);
    if (name == "clients") return options.clients;
    if (name == "discover") return flag_text(options.discovers());
    if (name == "interpreter") {
        std::string out;
        for (const std::string& path : options.interpreters) {
            out += (out.empty() ? "" : ", ") + path;
        }
        return out.empty() ? "none" : out;
    }
    if (name == "cache") return options.cache.empty() ? "none" : options.cache;
    if (name == "build-deadline") return std::to_string(options.build_deadline_s);
    if (const NumberOption* number = find_number(name)) {
        return std::to_string(options.*number->value);
    }
    if (name == "verbose") return flag_text(options.verbose);
    return {};
}

void keep_option(const Options& from, std::string_view name, Options* to) {
    if (name == "socket") to->socket = from.socket;
    if (name == "clients") to->clients = from.clients;
    if (name == "cache") to->cache = from.cache;
    if (name == "user") {
        // What follows from it stays too.
        if (!to->discover) to->discover = from.discovers();
        to->user = from.user;
    }
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
    if (options->cache.empty()) {
        // The first, if the service has several.
        const char* given = std::getenv("CACHE_DIRECTORY");
        const std::string_view first = given == nullptr ? std::string_view() : given;
        if (first.starts_with('/')) options->cache = first.substr(0, first.find(':'));
    }
    if (options->cache == kNoCache) options->cache.clear();
    return Ok{};
}

}  // namespace pycds::config
