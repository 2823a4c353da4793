#include "daemon/build/process_launcher.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>
#include <vector>

#include "daemon/build/builder_process.h"
#include "daemon/build/readable.h"
#include "daemon/build/spawn.h"
#include "daemon/core/plan.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::build {
namespace {

constexpr int kBackgroundNiceness = 10;

struct Pipe {
    UniqueFd read_end;  // non-blocking: it is read in the event loop
    UniqueFd write_end;
};

Result<Pipe> make_pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return errno_error("cannot make a pipe");
    Pipe out{UniqueFd(fds[0]), UniqueFd(fds[1])};
    if (fcntl(out.read_end.get(), F_SETFL, O_NONBLOCK) != 0) {
        return errno_error("cannot make a pipe non-blocking");
    }
    return out;
}

Status check_python(const std::string& python) {
    struct stat st {};
    if (python.empty() || python.front() != '/' || python.find('\0') != std::string::npos ||
        stat(python.c_str(), &st) != 0 || !S_ISREG(st.st_mode) ||
        access(python.c_str(), X_OK) != 0) {
        return Error{ErrorCode::kNotFound, "no such interpreter: " + python};
    }
    return Ok{};
}

Result<UniqueFd> make_plan(const std::string& entries) {
    Result<UniqueFd> plan =
        make_sealed_copy("pycds-plan", std::as_bytes(std::span(entries.data(), entries.size())));
    // The builder shares the file offset, which writing moved to the end.
    if (plan && lseek(plan->get(), 0, SEEK_SET) != 0) return errno_error("cannot rewind the plan");
    return plan;
}

std::string domain_argument(const core::BuilderJob& job) {
    return job.domain == wire::Domain::kUser ? "user:" + std::to_string(job.domain_uid) : "system";
}

std::string passed_fd(int index) {
    return std::to_string(kFirstPassedFd + index);
}

}  // namespace

// The child's descriptors: the plan if there is one, then output, report and confining filter, then
// the sources' socket.
Result<std::unique_ptr<core::RunningBuilder>> ProcessLauncher::start(
    Run run, core::BuilderCallbacks callbacks, UniqueFd sources) {
    if (!sandbox_) return sandbox_.error();
    const Status python = check_python(run.python);
    if (!python) return python.error();
    const std::string script = options_.clients + "/" + run.script;
    if (access(script.c_str(), R_OK) != 0) {
        return Error{ErrorCode::kNotFound, "no " + std::string(run.script) + " in " +
                                               options_.clients +
                                               "; is --clients the right directory?"};
    }
    Result<UniqueFd> ruleset = sandbox_->ruleset(run.readable);
    if (!ruleset) return ruleset.error();
    Result<UniqueFd> output = create_memfd("pycds-build");
    if (!output) return output.error();
    Result<Pipe> report = make_pipe();
    if (!report) return report.error();
    Result<Pipe> error_out = make_pipe();
    if (!error_out) return error_out.error();

    SpawnRequest request;
    // -I, but that the seed of hashes counts. There is no other variable, and nothing but our own in the
    // script's directory, which -I would keep from sys.path.
    request.arguments = {run.python, run.hash_seed == 0 ? "-I" : "-s", "-S", "-B"};
    request.arguments.insert(request.arguments.end(), run.options.begin(), run.options.end());
    request.arguments.push_back(script);
    request.arguments.insert(request.arguments.end(), run.arguments.begin(), run.arguments.end());
    request.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/"};
    if (run.hash_seed != 0) {
        request.environment.push_back("PYTHONHASHSEED=" + std::to_string(run.hash_seed));
    }
    request.stderr_fd = error_out->write_end.get();
    if (run.plan) request.passed_fds.push_back(run.plan.get());
    request.passed_fds.push_back(output->get());
    request.passed_fds.push_back(report->write_end.get());
    request.passed_fds.push_back(sandbox_->confining_filter());
    if (run.sources) request.passed_fds.push_back(run.sources.get());
    request.filter = &sandbox_->launch_filter();
    request.ruleset_fd = ruleset->get();
    request.max_address_space = run.max_memory;
    request.max_file_size = run.max_output;
    request.max_cpu = run.deadline;
    request.niceness = run.in_background ? kBackgroundNiceness : 0;
    Result<SpawnedProcess> process = spawn(request);
    if (!process) return process.error();

    BuilderProcess::Setup setup;
    setup.process = std::move(*process);
    setup.plan = std::move(run.plan);
    setup.output = std::move(*output);
    setup.report = std::move(report->read_end);
    setup.error_out = std::move(error_out->read_end);
    setup.python = run.python;
    setup.deadline = run.deadline;
    setup.sources = std::move(sources);
    return std::unique_ptr<core::RunningBuilder>(
        std::make_unique<BuilderProcess>(loop_, reaper_, std::move(setup), std::move(callbacks)));
}

Result<std::unique_ptr<core::RunningBuilder>> ProcessLauncher::launch(
    const core::BuilderJob& job, core::BuilderCallbacks callbacks) {
    // Without a plan the builder writes down what it gets.
    Result<UniqueFd> plan = job.offered ? create_memfd("pycds-plan") : make_plan(job.plan);
    if (!plan) return plan.error();
    Run run;
    run.python = job.python;
    run.script = "pycds_build.py";
    if (job.optimize == 1) run.options = {"-O"};
    if (job.optimize == 2) run.options = {"-OO"};
    run.arguments = {"--slot",       std::to_string(job.slot),
                     "--generation", std::to_string(job.generation),
                     "--domain",     domain_argument(job),
                     "--plan-fd",    passed_fd(0),
                     "--out-fd",     passed_fd(1),
                     "--report-fd",  passed_fd(2),
                     "--filter-fd",  passed_fd(3)};
    if (job.common_base != 0) {
        run.arguments.insert(run.arguments.end(),
                             {"--common-base", std::to_string(job.common_base)});
    }
    if (job.hash_seed != 0) {
        run.hash_seed = job.hash_seed;
        run.arguments.insert(run.arguments.end(), {"--hashes", "1"});
    }
    run.plan = std::move(*plan);
    run.readable = paths_of_interpreter(job.python);
    run.readable.push_back(options_.clients);
    for (std::string& directory : directories_of_plan(job.plan)) {
        run.readable.push_back(std::move(directory));
    }
    run.max_output = options_.max_output;
    run.max_memory = options_.max_memory;
    run.deadline = options_.deadline;
    run.in_background = job.in_background;
    if (!job.offered) return start(std::move(run), std::move(callbacks));

    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return errno_error("cannot make a socket for the sources");
    }
    UniqueFd peers(ends[0]);
    run.sources.reset(ends[1]);
    for (const int end : ends) let_descriptors_pass(end, false);
    run.arguments.insert(run.arguments.end(), {"--sources-fd", passed_fd(4)});
    // A user is in no such hurry that others should notice.
    run.in_background = true;
    run.max_memory = std::min(run.max_memory, options_.user_max_memory);
    run.max_output = std::min(run.max_output, options_.user_max_output);
    run.deadline = std::min(run.deadline, options_.user_deadline);
    return start(std::move(run), std::move(callbacks), std::move(peers));
}

Result<std::unique_ptr<core::RunningBuilder>> ProcessLauncher::launch_planner(
    const core::PlannerJob& job, core::BuilderCallbacks callbacks) {
    Run run;
    run.python = job.python;
    run.script = "pycds_plan.py";
    run.arguments = {passed_fd(0), job.python, "system", std::to_string(job.max_pyc_bytes)};
    run.max_output = core::kMaxPlanBytes;
    run.max_memory = options_.max_memory;
    run.deadline = options_.deadline;
    // It looks where sys.path leads. Interpreter and directories are root's, and no file is
    // believed.
    run.readable = {"/"};
    run.in_background = true;
    return start(std::move(run), std::move(callbacks));
}

}  // namespace pycds::build
