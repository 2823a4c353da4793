#include "ctl/run.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string_view>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/env.h"
#include "src/common/base/text.h"
#include "src/common/image/format.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;

// Of client/place/place.cc.
constexpr const char* kLibrary = "pycds_place.so";
constexpr const char* kVariable = "PYCDS_LAYOUT";

// A start must not wait for a daemon that hangs; one that is busy answers in milliseconds.
constexpr std::chrono::milliseconds kPatience{1000};

struct RunOptions {
    std::string socket;
    bool quiet = false;
    bool children = false;
    bool hash_seed = false;
};

// The library for the dynamic linker, where clients are.
Result<std::string> find_library() {
    const Result<std::string> directory = program_directory();
    if (!directory) return directory.error();
    for (const fs::path& clients : client_directories(*directory)) {
        std::error_code ignored;
        const std::string path = (clients / kLibrary).native();
        // ld.so(8) takes the list apart at colons.
        if (fs::is_regular_file(path, ignored) && path.find(':') == std::string::npos) return path;
    }
    return Error{ErrorCode::kNotFound,
                 fmt::format("there is no {} below {}", kLibrary,
                             fs::path(*directory).parent_path().native())};
}

Result<wire::LayoutReply> ask_for_layout(const std::string& socket) {
    Result<Connection> daemon = Connection::open(socket);
    if (!daemon) return daemon.error();
    Connection::Options options;
    options.patience = kPatience;
    Result<wire::LayoutReply> layout =
        daemon->ask<wire::LayoutReply>(wire::LayoutRequest{}, options);
    if (!layout) return layout.error();
    if (!image::is_common_base(layout->common_base)) {
        return Error{ErrorCode::kUnavailable, "the daemon has no common address to give"};
    }
    return layout;
}

// For all interpreters that COMMAND starts. The client says by it which images it wants.
Status set_hash_seed(uint32_t seed) {
    if (seed == 0) return Error{ErrorCode::kUnavailable, "the daemon has no hash seed to give"};
    if (std::getenv("PYTHONHASHSEED") != nullptr) {
        return Error{ErrorCode::kInvalidArgument, "PYTHONHASHSEED is set already"};
    }
    setenv("PYTHONHASHSEED", std::to_string(seed).c_str(), 1);
    setenv("PYCDS_HASHES", "1", 1);
    return Ok{};
}

// Sets what the library reads, and where the client finds the daemon whose images fit.
Status prepare(const RunOptions& options) {
    const Result<std::string> library = find_library();
    if (!library) return library.error();
    const char* audit = std::getenv("LD_AUDIT");
    if (audit != nullptr && *audit != '\0' && audit != *library) {
        return Error{ErrorCode::kInvalidArgument, "LD_AUDIT is set already"};
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        return Error{ErrorCode::kUnavailable, "address space is limited (ulimit -v)"};
    }
    const std::string socket = choose_socket(options.socket);
    const Result<wire::LayoutReply> layout = ask_for_layout(socket);
    if (!layout) return layout.error();
    if (options.hash_seed) {
        const Status set = set_hash_seed(layout->hash_seed);
        if (!set) return set;
    }
    if (socket != kSystemSocket) {
        std::error_code failure;
        const std::string absolute = fs::absolute(socket, failure).native();
        if (failure) return Error{ErrorCode::kSystem, "the socket: " + failure.message()};
        setenv("PYCDS_SOCKET", absolute.c_str(), 1);
    }
    setenv("LD_AUDIT", library->c_str(), 1);
    setenv(kVariable, fmt::format("{:x}{}", layout->common_base, options.children ? "+" : "").c_str(), 1);
    return Ok{};
}

// Returns only if it cannot.
Error execute(const std::vector<std::string>& command) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    const int failure = errno;
    Error error = errno_error("run: cannot execute " + command[0], failure);
    error.code = failure == ENOENT ? ErrorCode::kNotFound : ErrorCode::kPermissionDenied;
    return error;
}

Status run_run(const RunOptions& options, const std::vector<std::string>& command) {
    if (command.empty()) {
        return Error{ErrorCode::kInvalidArgument,
                     "run: COMMAND is missing (see 'pycdsctl run --help')"};
    }
    const Status prepared = prepare(options);
    if (!options.quiet) {
        // What it gives up must not go unnoticed; the address itself has no place in a log.
        fmt::print(stderr, "pycdsctl: {}\n",
                   prepared
                       ? std::string("run: libpython is loaded where it lies in all that is run so, "
                                     "until the next boot: less address randomisation") +
                             (options.hash_seed ? "; and hashes of strings are those of all that is run "
                                                  "so: less protection against hash flooding"
                                                : "") +
                             " (--quiet does not say this)"
                       : "run: started as without run: " + printable(prepared.error().message));
    }
    return execute(command);
}

}  // namespace

SplitArguments split_run_arguments(int argc, char** argv) {
    SplitArguments out;
    for (int i = 0; i < argc; ++i) {
        const std::string_view word = argv[i];
        const bool option = word.size() > 1 && word[0] == '-';
        if (out.is_run && (word == "--" || !option)) {
            for (int rest = word == "--" ? i + 1 : i; rest < argc; ++rest) {
                out.command.emplace_back(argv[rest]);
            }
            return out;
        }
        out.own.push_back(argv[i]);
        if (i == 0) continue;
        if (word == "--socket" && i + 1 < argc) {
            out.own.push_back(argv[++i]);
        } else if (!option && word != "run") {
            // Another command: nothing behind it is ours to judge.
            for (int rest = i + 1; rest < argc; ++rest) out.own.push_back(argv[rest]);
            return out;
        } else if (!option) {
            out.is_run = true;
        }
    }
    return out;
}

void add_run_command(CLI::App& app, const Globals& globals, Action& action,
                     const std::vector<std::string>& to_run) {
    auto options = std::make_shared<RunOptions>();
    CLI::App* command = app.add_subcommand(
        "run", "Start a program so that a randomised interpreter shares pages, too");
    command->add_option("--socket", options->socket, "Socket of the daemon, as before the command")
        ->type_name("PATH");
    command->add_flag(
        "--quiet", options->quiet,
        "Do not say on standard error what this gives up, or that it could not be done");
    command->add_flag("--children", options->children,
                      "For interpreters that the first one starts, too");
    command->add_flag("--hash-seed", options->hash_seed,
                      "With the daemon's hash seed, the same for all: with images that `pycdsctl build "
                      "--hash-seed` has made a process has less memory of its own");
    command->footer(
        "  [--] COMMAND [ARGUMENT...]  What to run; all that follows is COMMAND's\n"
        "\n"
        "Position-independent builds of Python (version managers, containers) lie elsewhere in "
        "each\n"
        "process, so those pages of an image that refer to the interpreter are the process's own. "
        "This\n"
        "has the dynamic linker load libpython3.N.so at one address, which the daemon chooses at "
        "random\n"
        "after each boot, in COMMAND and what it starts, down to the first interpreter. Everything "
        "else\n"
        "stays randomised per process. An interpreter without such a library, and setuid programs, "
        "run as\n"
        "ever. It switches no client on: `pycdsctl enable` or `pycdsctl env` does.\n"
        "\n"
        "Exit status: that of COMMAND; 125 if run itself fails, 126 if COMMAND cannot be executed, "
        "127 if\n"
        "there is none. Where the address cannot be had, COMMAND is started all the same.\n"
        "\n"
        "Example:\n"
        "  pycdsctl run ~/.pyenv/versions/3.13.0/bin/python3 program.py\n"
        "  env $(pycdsctl env --python python3) pycdsctl run --quiet -- python3 -m http.server");
    command->callback([options, &globals, &action, &to_run] {
        action = [options, &globals, &to_run] {
            if (options->socket.empty()) options->socket = globals.socket;
            return run_run(*options, to_run);
        };
    });
}

}  // namespace pycds::ctl
