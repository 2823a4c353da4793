#include "ctl/hook.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "src/common/os/unique_fd.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;

// A line that says nothing where the client is gone: site shows a traceback for one that raises.
// From 3.15 on lines like it are deprecated (PEP 829); by the time they no longer count,
// environments of interpreters that are switched on themselves need none.
constexpr std::string_view kPth =
    "import sys; exec(\"try: import _pycds\\nexcept ImportError: pass\")\n";

Error failure(const std::string& what, int number) {
    Error error = errno_error(what, number);
    if (number == EACCES || number == EPERM || number == EROFS) {
        error.code = ErrorCode::kPermissionDenied;
        if (number != EROFS && geteuid() != 0) error.message += ": do this as root";
    }
    if (number == ENOENT || number == ENOTDIR) error.code = ErrorCode::kNotFound;
    return error;
}

Error foreign(const std::string& file) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} is not from pycdsctl: it stays as it is, and the client cannot be "
                             "switched on or off there",
                             file)};
}

// What a symbolic link holds; empty: it is none, or there is nothing.
std::string link_text(const std::string& path) {
    char text[PATH_MAX];
    const ssize_t size = readlink(path.c_str(), text, sizeof text);
    return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

bool is_there(const std::string& path) {
    std::error_code ignored;
    return fs::symlink_status(path, ignored).type() != fs::file_type::not_found;
}

// Is it the path of a client's library? It need not be there any more.
bool names_client(const fs::path& target) {
    return target.is_absolute() && target.filename().native().starts_with("_pycds.") &&
           target.parent_path().filename().native().starts_with("cpython-");
}

// Where systemd looks for units of the system (systemd.unit(5)).
constexpr const char* kUnitDirectories[] = {"/etc/systemd/system", "/usr/local/lib/systemd/system",
                                            "/usr/lib/systemd/system", "/lib/systemd/system"};

// Does a unit make kRunningClients a link to this directory?
bool socket_shows(const std::string& clients, const std::string& root) {
    const std::string command = fmt::format(" {} {}\n", clients, kRunningClients);
    for (const char* directory : kUnitDirectories) {
        std::ifstream file(fmt::format("{}{}/pycdsd.socket", root, directory));
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        // The first one found is the one that counts.
        if (file.is_open()) return text.find(command) != std::string::npos;
    }
    return false;
}

HookState state_of_link(const std::string& path, const std::string& library) {
    if (!is_there(path)) return HookState::kOff;
    const std::string target = link_text(path);
    if (target.empty() || !names_client(target)) return HookState::kForeign;
    return target == library ? HookState::kOn : HookState::kStale;
}

HookState state_of_pth(const std::string& path) {
    if (!is_there(path)) return HookState::kOff;
    std::error_code ignored;
    if (!fs::is_regular_file(fs::symlink_status(path, ignored))) return HookState::kForeign;
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    char text[kPth.size() + 1];
    const ssize_t size = fd ? read(fd.get(), text, sizeof text) : -1;
    const bool ours = size >= 0 && std::string_view(text, static_cast<size_t>(size)) == kPth;
    return ours ? HookState::kOn : HookState::kForeign;
}

// A name beside `path` for what is to take its place.
std::string temporary_name(const std::string& path) {
    return fmt::format("{}/.pycds-{}.tmp", fs::path(path).parent_path().native(), getpid());
}

// Where nothing is, nothing that appears meanwhile is overwritten; what is ours is replaced at
// once.
Status put_link(const std::string& path, const std::string& library, HookState state) {
    if (state == HookState::kOn) return Ok{};
    if (state == HookState::kOff) {
        if (symlink(library.c_str(), path.c_str()) == 0) return Ok{};
        const int number = errno;
        if (number == EEXIST && link_text(path) == library) return Ok{};  // by another one like us
        return failure("cannot make " + path, number);
    }
    const std::string temporary = temporary_name(path);
    unlink(temporary.c_str());
    if (symlink(library.c_str(), temporary.c_str()) != 0) {
        return failure("cannot replace " + path, errno);
    }
    if (rename(temporary.c_str(), path.c_str()) == 0) return Ok{};
    const Error error = failure("cannot replace " + path, errno);
    unlink(temporary.c_str());
    return error;
}

Status put_pth(const std::string& path) {
    const std::string temporary = temporary_name(path);
    unlink(temporary.c_str());
    UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!fd) return failure("cannot make " + path, errno);
    Status done = Ok{};
    // link(2), unlike rename(2), overwrites nothing. The mode is not left to the caller's umask:
    // root switches on for others.
    if (write(fd.get(), kPth.data(), kPth.size()) != static_cast<ssize_t>(kPth.size()) ||
        fchmod(fd.get(), 0644) != 0 || link(temporary.c_str(), path.c_str()) != 0) {
        done = failure("cannot make " + path, errno);
    }
    unlink(temporary.c_str());
    return done;
}

Status remove_file(const std::string& path) {
    if (unlink(path.c_str()) == 0 || errno == ENOENT) return Ok{};
    return failure("cannot remove " + path, errno);
}

}  // namespace

std::string link_to(const std::string& library, const std::string& root) {
    const fs::path path = library;
    const fs::path version = path.parent_path();
    // sd_booted(3)
    if (!is_there(root + "/run/systemd/system") ||
        !socket_shows(version.parent_path().native(), root)) {
        return library;
    }
    return (kRunningClients / version.filename() / path.filename()).native();
}

Hook stdlib_hook(const Target& target, const std::string& library) {
    const std::string file = target.stdlib_hook();
    return {state_of_link(file, library), file};
}

Hook venv_hook(const Target& target, const std::string& library) {
    if (target.venv.empty()) return {};
    const Hook link{state_of_link(target.venv_link(), library), target.venv_link()};
    const Hook pth{state_of_pth(target.venv_pth()), target.venv_pth()};
    if (link.state == HookState::kForeign) return link;
    if (pth.state == HookState::kForeign || link.state == pth.state) return pth;
    return {HookState::kStale, link.file};
}

bool leads_to_client(const Hook& hook, const Target& target) {
    const fs::path library = link_text(hook.file);
    std::error_code ignored;
    return names_client(library) && (fs::is_regular_file(library, ignored) || is_asleep(hook)) &&
           library.parent_path().filename() == "cpython-" + target.python.version;
}

bool is_asleep(const Hook& hook) {
    return link_text(hook.file).starts_with(std::string(kRunningClients) + '/') &&
           !is_there(kRunningClients);
}

Status make_stdlib_hook(const Target& target, const std::string& library) {
    const Hook hook = stdlib_hook(target, library);
    if (hook.state == HookState::kForeign) return foreign(hook.file);
    return put_link(hook.file, library, hook.state);
}

Status make_venv_hook(const Target& target, const std::string& library) {
    const Hook hook = venv_hook(target, library);
    if (hook.state == HookState::kForeign) return foreign(hook.file);
    const HookState link = state_of_link(target.venv_link(), library);
    Status done = put_link(target.venv_link(), library, link);
    if (!done || state_of_pth(target.venv_pth()) == HookState::kOn) return done;
    done = put_pth(target.venv_pth());
    if (!done && link == HookState::kOff) unlink(target.venv_link().c_str());
    return done;
}

Status remove_stdlib_hook(const Target& target) {
    const Hook hook = stdlib_hook(target, {});
    if (hook.state == HookState::kForeign) return foreign(hook.file);
    return hook.state == HookState::kOff ? Status(Ok{}) : remove_file(hook.file);
}

Status remove_venv_hook(const Target& target) {
    const Hook hook = venv_hook(target, {});
    if (hook.state == HookState::kForeign) return foreign(hook.file);
    // The line first: it must not ask for what is not there.
    Status done = remove_file(target.venv_pth());
    return done ? remove_file(target.venv_link()) : done;
}

std::vector<std::string> find_hooks(const std::string& root) {
    std::vector<std::string> hooks;
    for (const char* place : {"/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"}) {
        std::error_code failed;
        for (fs::directory_iterator it(root + place, failed), end; !failed && it != end;
             it.increment(failed)) {
            if (!it->path().filename().native().starts_with("python3")) continue;
            std::error_code inner;
            for (fs::directory_iterator file(it->path(), inner), none; !inner && file != none;
                 file.increment(inner)) {
                const std::string name = file->path().filename().native();
                const std::string path = file->path().native();
                if (name.starts_with("sitecustomize.") && name.ends_with(".so") &&
                    state_of_link(path, {}) == HookState::kStale) {
                    hooks.push_back(path);
                }
            }
        }
    }
    std::sort(hooks.begin(), hooks.end());
    return hooks;
}

Status remove_hook(const std::string& path) {
    switch (state_of_link(path, {})) {
        case HookState::kOff: return Ok{};
        case HookState::kForeign: return foreign(path);
        default: return remove_file(path);
    }
}

}  // namespace pycds::ctl
