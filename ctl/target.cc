#include "ctl/target.h"

#include <fmt/format.h>

#include <filesystem>
#include <vector>

#include "ctl/child.h"
#include "ctl/env.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;

// The directory that `os` is from is the one on sys.path; the first suffix is the one that the
// import system tries first. Values end with NUL, since a path may hold anything else.
constexpr const char* kDescribe = R"(import os, sys, _imp
variant = ''
if hasattr(sys, 'gettotalrefcount') or hasattr(sys, 'getobjects'):
    variant = 'debug'
if 't' in sys.abiflags:
    variant = 'free-threaded'
values = [os.path.dirname(os.__file__), _imp.extension_suffixes()[0], sys.version.replace('\n', ' '), variant,
          'python%d.%d%s' % (*sys.version_info[:2], 't' if 't' in sys.abiflags else '')]
os.write(1, b''.join(os.fsencode(value) + b'\0' for value in values))
)";

bool is_venv(const fs::path& directory) {
    std::error_code ignored;
    return fs::is_regular_file(directory / "pyvenv.cfg", ignored);
}

// As site.venv() looks for it: beside the program or one above.
std::string venv_of(const fs::path& program) {
    const fs::path beside = program.parent_path();
    if (is_venv(beside)) return beside.native();
    const fs::path above = beside.parent_path();
    return is_venv(above) ? above.native() : std::string();
}

Result<std::string> program_named(std::string_view name) {
    fs::path directory(name);
    std::error_code failure;
    if (name.empty() || !fs::is_directory(directory, failure)) return std::string(name);
    if (!is_venv(directory)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{} is a directory but no virtual environment: it has no "
                                 "pyvenv.cfg (name the interpreter itself)",
                                 name)};
    }
    directory = fs::absolute(directory, failure).lexically_normal();
    if (failure) return errno_error(fmt::format("cannot make {} absolute", name), failure.value());
    if (directory.filename().empty()) directory = directory.parent_path();  // a slash at the end
    return (directory / "bin/python").native();
}

}  // namespace

Result<Target> find_target(std::string_view name) {
    Result<std::string> program = program_named(name);
    if (!program) return program.error();
    Result<Interpreter> python = find_interpreter(*program);
    if (!python) return python.error();
    Target target;
    target.python = std::move(*python);
    target.python.name = std::string(name);
    Result<ChildEnd> end = run_child({target.python.path, {"-I", "-S", "-c", kDescribe}, {}});
    if (!end) return end.error();
    const std::vector<std::string> answer = fields_of(end->output);
    if (end->signal != 0 || end->status != 0 || answer.size() != 5) {
        return Error{ErrorCode::kSystem,
                     fmt::format("{} does not say where its standard library is: {}",
                                 target.python.path, last_line(end->errors))};
    }
    target.stdlib = answer[0];
    target.suffix = answer[1];
    target.build = answer[2];
    target.variant = answer[3];
    target.venv = venv_of(target.python.path);
    if (!target.venv.empty()) {
        target.site_packages = fmt::format("{}/lib/{}/site-packages", target.venv, answer[4]);
    }
    return target;
}

Result<std::string> find_library(const Target& target) {
    if (!target.variant.empty()) {
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("{} is a {} build of Python {}: its objects are laid out otherwise, "
                        "and there is no client for it",
                        target.python.path, target.variant, target.python.version)};
    }
    Result<std::string> directory = program_directory();
    if (!directory) return directory.error();
    Result<std::string> client = find_client(target.python, *directory);
    if (!client) return client.error();
    std::string library = *client + "/_pycds" + target.suffix;
    std::error_code ignored;
    if (!fs::exists(library, ignored)) {
        return Error{ErrorCode::kNotFound,
                     fmt::format("no client for {}: there is no {}", target.python.path, library)};
    }
    return library;
}

}  // namespace pycds::ctl
