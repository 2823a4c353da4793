#include "ctl/env.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/json.h"
#include "ctl/output.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kClientPrefix = "cpython-";

struct EnvOptions {
    std::string python = "python3";
    bool json = false;
};

// Versions, sorted, for which a directory of clients has one.
std::vector<std::string> versions_in(const fs::path& clients) {
    std::vector<std::string> versions;
    std::error_code failure;
    for (fs::directory_iterator it(clients, failure), end; !failure && it != end;
         it.increment(failure)) {
        const std::string name = it->path().filename().native();
        if (name.starts_with(kClientPrefix)) versions.push_back(name.substr(kClientPrefix.size()));
    }
    std::sort(versions.begin(), versions.end());
    return versions;
}

// The client in front, what was there before behind it, itself only once.
std::string python_path(const std::string& client) {
    std::string path = client;
    const char* before = std::getenv("PYTHONPATH");
    std::string_view rest = before != nullptr ? before : "";
    while (!rest.empty()) {
        const size_t colon = rest.find(':');
        const std::string_view entry = rest.substr(0, colon);
        if (entry != client) path += fmt::format(":{}", entry);
        if (colon == std::string_view::npos) break;
        rest.remove_prefix(colon + 1);
    }
    return path;
}

Status run_env(const EnvOptions& options, const std::string& wanted_socket) {
    Result<Interpreter> python = find_interpreter(options.python);
    if (!python) return python.error();
    Result<std::string> directory = program_directory();
    if (!directory) return directory.error();
    Result<std::string> client = find_client(*python, *directory);
    if (!client) return client.error();
    std::error_code failure;
    const std::string socket = fs::absolute(wanted_socket, failure).native();
    if (failure) {
        return Error{ErrorCode::kSystem,
                     "cannot make the path of the socket absolute: " + failure.message()};
    }
    const std::string path = python_path(*client);
    if (options.json) {
        JsonWriter json;
        json.begin_object().field("PYTHONPATH", path).field("PYCDS_SOCKET", socket).end_object();
        return print_out(json.text());
    }
    if ((path + socket).find_first_of(" \t\n") != std::string::npos) {
        fmt::print(stderr,
                   "pycdsctl: warning: a value holds white space, which env $(pycdsctl env) takes "
                   "apart: use --json, or paths without\n");
    }
    return print_out(fmt::format("PYTHONPATH={}\nPYCDS_SOCKET={}\n", path, socket));
}

}  // namespace

Result<std::string> program_directory() {
    std::error_code failure;
    const fs::path program = fs::read_symlink("/proc/self/exe", failure);
    if (failure) {
        return Error{ErrorCode::kSystem, "cannot read /proc/self/exe: " + failure.message()};
    }
    return program.parent_path().native();
}

std::vector<fs::path> client_directories(const std::string& program_directory) {
    const fs::path prefix = fs::path(program_directory).parent_path();
    return {prefix / "client", prefix / "lib/pycds/client"};
}

Result<std::string> find_client(const Interpreter& python, const std::string& program_directory) {
    const std::string name = std::string(kClientPrefix) + python.version;
    std::vector<std::string> versions;
    for (const fs::path& clients : client_directories(program_directory)) {
        std::error_code ignored;
        if (fs::is_directory(clients / name, ignored)) return (clients / name).native();
        const std::vector<std::string> there = versions_in(clients);
        versions.insert(versions.end(), there.begin(), there.end());
    }
    return Error{
        ErrorCode::kNotFound,
        fmt::format("no client for {} (Python {}): there {}", python.path, python.version,
                    versions.empty() ? fmt::format("is none below {}",
                                                   fs::path(program_directory).parent_path().native())
                                     : fmt::format("are those for {}", fmt::join(versions, ", ")))};
}

void add_env_command(CLI::App& app, const Globals& globals, Action& action) {
    auto options = std::make_shared<EnvOptions>();
    CLI::App* command = app.add_subcommand(
        "env", "Print the variables that switch the client on for an interpreter");
    command->fallthrough();
    command->add_option("--python", options->python, "A path, or a name looked up in PATH")
        ->type_name("PYTHON")
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Example:\n"
        "  env $(pycdsctl env --python /usr/bin/python3) /usr/bin/python3 program.py");
    command->callback([options, &globals, &action] {
        action = [options, &globals] { return run_env(*options, choose_socket(globals.socket)); };
    });
}

}  // namespace pycds::ctl
