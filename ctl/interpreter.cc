#include "ctl/interpreter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "ctl/child.h"
#include "ctl/scripts.h"
#include "src/common/os/mapping.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;

// Exit statuses of plan.py.
constexpr int kPlanUsage = 2;
constexpr int kPlanNotFound = 3;

// -I -S: who the interpreter is does not depend on the user's settings, and costs little to ask.
constexpr const char* kWhoAreYou =
    "import sys; print(sys.implementation.name, '%d.%d.%d' % sys.version_info[:3], "
    "sys.implementation.cache_tag or '', sys.executable, sep='\\n')";

bool executable_file(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
}

Result<std::string> make_absolute(const fs::path& path) {
    std::error_code failure;
    const fs::path result = fs::absolute(path, failure);
    if (failure) {
        return Error{ErrorCode::kSystem, fmt::format("cannot make {} an absolute path: {}",
                                                     path.native(), failure.message())};
    }
    return result.native();
}

Result<std::string> locate(std::string_view name) {
    if (name.empty()) return Error{ErrorCode::kInvalidArgument, "the name of PYTHON is empty"};
    if (name.find('/') != std::string_view::npos) return make_absolute(fs::path(name));
    const char* variable = std::getenv("PATH");
    std::string_view path = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        const size_t colon = path.find(':');
        const std::string_view directory = path.substr(0, colon);
        const fs::path candidate = fs::path(directory.empty() ? "." : directory) / name;
        if (executable_file(candidate)) return make_absolute(candidate);
        if (colon == std::string_view::npos) break;
        path.remove_prefix(colon + 1);
    }
    return Error{ErrorCode::kNotFound,
                 fmt::format("no program {} in PATH: name the interpreter by its path", name)};
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const size_t newline = text.find('\n');
        lines.emplace_back(text.substr(0, newline));
        if (newline == std::string_view::npos) break;
        text.remove_prefix(newline + 1);
    }
    return lines;
}

std::string how_it_ended(const ChildEnd& end) {
    const std::string said = last_line(end.errors);
    std::string how = fmt::format("exited with status {}", end.status);
    if (end.signal != 0) how = fmt::format("was killed by signal {}", end.signal);
    return said.empty() ? how : how + ": " + said;
}

Result<UniqueFd> open_trace(const std::string& file) {
    UniqueFd fd(file == "-" ? fcntl(0, F_DUPFD_CLOEXEC, 0)
                            : open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd) return fd;
    const int failure = errno;
    Error error = errno_error("cannot read the trace " + file, failure);
    if (failure == ENOENT) error.code = ErrorCode::kNotFound;
    if (failure == EACCES) error.code = ErrorCode::kPermissionDenied;
    return error;
}

const char* mode_name(PlanRequest::Mode mode) {
    switch (mode) {
        case PlanRequest::Mode::kModules: return "modules";
        case PlanRequest::Mode::kImport: return "import";
        case PlanRequest::Mode::kTrace: return "trace";
        case PlanRequest::Mode::kAll: return "all";
    }
    return "";
}

Result<uint32_t> count_entries(int fd) {
    const Result<Mapping> mapping = map_plan(fd);
    if (!mapping) return mapping.error();
    const std::span<const std::byte> bytes = mapping->bytes();
    return static_cast<uint32_t>(std::count(bytes.begin(), bytes.end(), std::byte{0}));
}

}  // namespace

Result<Mapping> map_plan(int plan) {
    const int64_t size = regular_file_size(plan);
    if (size < 0) return errno_error("cannot see the size of the plan");
    return Mapping::map_read_only(plan, static_cast<size_t>(size));
}

Result<Interpreter> find_interpreter(std::string_view name) {
    Result<std::string> path = locate(name);
    if (!path) return path.error();
    Interpreter python{std::string(name), *path, {}, {}, {}};
    Result<ChildEnd> end = run_child({python.path, {"-I", "-S", "-c", kWhoAreYou}, {"PYCDS=off"}});
    if (!end) return end.error();
    const std::vector<std::string> answer = lines_of(end->output);
    if (end->signal != 0 || end->status != 0 || answer.size() < 2) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{} is no Python: asked for its version, it {}", python.path,
                                 how_it_ended(*end))};
    }
    if (answer[0] != "cpython") {
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("{} is {}, but only CPython can be served", python.path, answer[0])};
    }
    python.version = answer[1];
    if (answer.size() > 2) python.cache_tag = answer[2];
    python.executable = answer.size() > 3 && executable_file(answer[3]) ? answer[3] : python.path;
    return python;
}

Result<Plan> make_plan(const Interpreter& python, const PlanRequest& request,
                       const std::function<void()>& tick) {
    Result<UniqueFd> plan = create_memfd("pycds-plan");
    if (!plan) return plan.error();
    UniqueFd trace;
    ChildSpec child{python.path, {"-B"}, {"PYCDS=off"}};
    if (request.mode == PlanRequest::Mode::kTrace) {
        Result<UniqueFd> opened = open_trace(request.trace_file);
        if (!opened) return opened.error();
        trace = std::move(*opened);
        child.input = trace.get();
    }
    // What a module imports can depend on __debug__, so the run has the level of the image.
    if (request.optimize > 0) child.arguments.push_back(request.optimize > 1 ? "-OO" : "-O");
    child.arguments.insert(child.arguments.end(), {"-c", kPlanScript, std::to_string(kPassedFd),
                                                   python.name, mode_name(request.mode)});
    child.arguments.insert(child.arguments.end(), request.names.begin(), request.names.end());
    child.descriptor = plan->get();

    Result<ChildEnd> end = run_child(child, tick);
    if (!end) return end.error();
    if (end->signal == 0 && end->status == kPlanNotFound) {
        return Error{ErrorCode::kNotFound, last_line(end->errors)};
    }
    if (end->signal == 0 && end->status == kPlanUsage) {
        return Error{ErrorCode::kInvalidArgument, last_line(end->errors)};
    }
    if (end->signal != 0 || end->status != 0) {
        return Error{ErrorCode::kSystem,
                     fmt::format("{}, asked which modules to put into the image, {}", python.name,
                                 how_it_ended(*end))};
    }
    Result<uint32_t> count = count_entries(plan->get());
    if (!count) return count.error();
    if (*count == 0) {
        // An import that ends the process with success, with os._exit(0) say.
        return Error{ErrorCode::kSystem,
                     fmt::format("{} ended before it had said which modules to put into the image",
                                 python.name)};
    }
    return Plan{std::move(*plan), *count};
}

std::vector<std::string> split_names(std::string_view text) {
    const char* const separators = ", \t\r\n";
    std::vector<std::string> names;
    for (;;) {
        const size_t begin = text.find_first_not_of(separators);
        if (begin == std::string_view::npos) return names;
        const size_t end = text.find_first_of(separators, begin);
        names.emplace_back(text.substr(begin, end == std::string_view::npos ? end : end - begin));
        if (end == std::string_view::npos) return names;
        text.remove_prefix(end);
    }
}

}  // namespace pycds::ctl
