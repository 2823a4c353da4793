// pycdsctl doctor --pid: nothing is run, for the program may be somebody else's choice.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <set>

#include "ctl/child.h"
#include "ctl/doctor.h"
#include "ctl/output.h"
#include "ctl/pages/proc_parse.h"
#include "src/common/base/text.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;
using enum Level;

constexpr std::string_view kDeleted = " (deleted)";
constexpr std::string_view kImage = "/memfd:pycds-img-";

// One process, even if its number is given to another meanwhile.
class ProcDirectory {
  public:
    explicit ProcDirectory(pid_t pid)
        : pid_(pid),
          fd_(open(fmt::format("/proc/{}", pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

    Result<std::string> read_file(const char* name) const {
        UniqueFd fd(openat(fd_.get(), name, O_RDONLY | O_CLOEXEC));
        if (!fd) return failure(name, errno);
        std::string text;
        char buffer[1 << 16];
        for (;;) {
            const ssize_t n = read(fd.get(), buffer, sizeof buffer);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return failure(name, errno);
            if (n == 0) return text;
            text.append(buffer, static_cast<size_t>(n));
        }
    }

    Result<std::string> read_link(const char* name) const {
        char text[PATH_MAX];
        const ssize_t size = readlinkat(fd_.get(), name, text, sizeof text);
        if (size < 0) return failure(name, errno);
        return std::string(text, static_cast<size_t>(size));
    }

    // Does it see the files that we see?
    bool has_our_root() const {
        struct stat own {};
        struct stat its {};
        return stat("/", &own) != 0 || fstatat(fd_.get(), "root", &its, 0) != 0 ||
               (own.st_dev == its.st_dev && own.st_ino == its.st_ino);
    }

  private:
    Error failure(const char* name, int number) const {
        switch (number) {
            case EBADF:
            case ENOENT:
            case ESRCH: return {ErrorCode::kNotFound, fmt::format("there is no process {}", pid_)};
            case EACCES:
            case EPERM:
                return {ErrorCode::kPermissionDenied,
                        fmt::format("may not read {} of process {}, which is of {}: ask as root",
                                    name, pid_, owner())};
            default:
                return errno_error(fmt::format("cannot read {} of process {}", name, pid_), number);
        }
    }

    // status is for everybody.
    std::string owner() const {
        struct stat st {};
        if (fstat(fd_.get(), &st) != 0) return "another user";
        return st.st_uid == geteuid() ? "your own user but protected"
                                      : fmt::format("uid {}", st.st_uid);
    }

    pid_t pid_;
    UniqueFd fd_;
};

std::string setting(const std::vector<std::string>& environment, std::string_view name) {
    for (const std::string& entry : environment) {
        if (entry.starts_with(name) && entry.size() > name.size() && entry[name.size()] == '=') {
            return entry.substr(name.size() + 1);
        }
    }
    return {};
}

// Is it among the options of the interpreter itself?
bool has_option(const std::vector<std::string>& arguments, char wanted) {
    for (size_t i = 1; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        if (word.size() < 2 || word[0] != '-' || word[1] == '-') return false;
        for (size_t j = 1; j < word.size(); ++j) {
            if (word[j] == wanted) return true;
            if (word[j] == 'c' || word[j] == 'm') return false;
            if (word[j] == 'W' || word[j] == 'X') {  // with an argument, here or in the next word
                if (j + 1 == word.size()) ++i;
                break;
            }
        }
    }
    return false;
}

// The hook that an interpreter at `program` would have, found without running it.
std::string hook_of(const fs::path& program) {
    const std::string name = program.filename().native();
    const fs::path library = program.parent_path().parent_path() / "lib" / name;
    std::error_code failed;
    for (fs::directory_iterator it(library, failed), end; !failed && it != end;
         it.increment(failed)) {
        const std::string file = it->path().filename().native();
        if (file.starts_with("sitecustomize.") && file.ends_with(".so")) return it->path().native();
    }
    return {};
}

void explain_missing_client(Diagnosis& diagnosis, const std::string& program,
                            const std::vector<std::string>& arguments) {
    if (has_option(arguments, 'S')) {
        diagnosis.add("client", kProblem,
                      "not loaded: Python was started with -S, under which nothing is set up");
        return;
    }
    const std::string hook = hook_of(program);
    if (hook.empty()) {
        diagnosis.add(
            "client", kProblem,
            fmt::format("not loaded: the client is off for its interpreter, as it seems: run "
                        "'pycdsctl enable {}' and start the process anew",
                        program));
        return;
    }
    diagnosis.add(
        "client", kProblem,
        fmt::format("not loaded: {} is there now, but perhaps was not when the process began, "
                    "or its PYTHONPATH has a sitecustomize of its own: start it anew, and run "
                    "'pycdsctl doctor {}' in its environment",
                    hook, program));
}

void check_images(Diagnosis& diagnosis, const std::vector<MapsEntry>& maps, bool switched_off) {
    uint64_t bytes = 0;
    std::set<std::string> names;
    for (const MapsEntry& entry : maps) {
        std::string_view name = entry.name;
        if (!name.starts_with(kImage)) continue;
        bytes += entry.end - entry.begin;
        name.remove_prefix(std::string_view("/memfd:pycds-").size());
        if (name.ends_with(kDeleted)) name.remove_suffix(kDeleted.size());
        names.emplace(name);
    }
    if (!names.empty()) {
        diagnosis.add(
            "image", kOk,
            fmt::format("maps {}, {} ('pycdsctl show IMAGE --pages PID' says how much of it "
                        "is shared)",
                        fmt::join(names, ", "), human_size(bytes)));
    } else if (switched_off) {
        diagnosis.add("image", kProblem, "maps none, because it has PYCDS=off in its environment");
    } else {
        diagnosis.add("image", kProblem,
                      "maps none: it has imported nothing since it began, or was refused; in it, "
                      "_pycds.stats()['reason'] says why, or PYCDS=verbose when it starts");
    }
}

}  // namespace

Result<Diagnosis> diagnose_process(pid_t pid) {
    const ProcDirectory process(pid);
    Result<std::string> maps_text = process.read_file("maps");
    if (!maps_text) return maps_text.error();
    Result<std::vector<MapsEntry>> maps = parse_maps(*maps_text);
    if (!maps) return maps.error();
    if (maps->empty()) {
        return Error{ErrorCode::kNotFound,
                     fmt::format("process {} has ended, or never had memory of its own", pid)};
    }
    Result<std::string> program = process.read_link("exe");
    if (!program) return program.error();
    Result<std::string> environment = process.read_file("environ");
    if (!environment) return environment.error();
    Result<std::string> arguments = process.read_file("cmdline");
    if (!arguments) return arguments.error();
    const std::vector<std::string> options = fields_of(*arguments);
    const std::vector<std::string> settings = fields_of(*environment);
    const bool isolated = has_option(options, 'I') || has_option(options, 'E');

    Diagnosis diagnosis;
    const bool replaced = program->ends_with(kDeleted);
    if (replaced) program->resize(program->size() - kDeleted.size());
    diagnosis.add("process", replaced ? kWarning : kOk,
                  fmt::format("{} runs {}{}", pid, *program,
                              replaced ? ", which has been replaced since: start it anew" : ""));
    if (!process.has_our_root()) {
        diagnosis.add(
            "root", kWarning,
            "it has another root directory, as in a container: it sees the client and the "
            "socket only if they are there too");
    }
    const auto mentions = [&](std::string_view word) {
        return std::any_of(maps->begin(), maps->end(), [&](const MapsEntry& entry) {
            return entry.name.find(word, entry.name.rfind('/') + 1) != std::string::npos;
        });
    };
    if (!mentions("python")) {
        diagnosis.add("client", kProblem, "not loaded: it is no Python");
        return diagnosis;
    }
    const auto library = std::find_if(maps->begin(), maps->end(), [](const MapsEntry& entry) {
        return entry.name.find("/_pycds.") != std::string::npos;
    });
    if (library == maps->end()) {
        explain_missing_client(diagnosis, *program, options);
        return diagnosis;
    }
    diagnosis.add("client", kOk, fmt::format("loaded, {}", library->name));
    if (const std::string socket = setting(settings, "PYCDS_SOCKET");
        !socket.empty() && !isolated) {
        diagnosis.add("environment", kOk, fmt::format("it has PYCDS_SOCKET={}", socket));
    }
    check_images(diagnosis, *maps, setting(settings, "PYCDS") == "off" && !isolated);
    return diagnosis;
}

}  // namespace pycds::ctl
