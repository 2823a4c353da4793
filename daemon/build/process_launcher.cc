#include "daemon/build/process_launcher.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <utility>
#include <vector>

#include "daemon/build/builder_process.h"
#include "daemon/build/spawn.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::build {
namespace {

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

std::vector<std::string> command_line(const core::BuilderJob& job, const std::string& clients) {
    std::vector<std::string> out{job.python, "-I", "-S", "-B"};
    if (job.optimize == 1) out.push_back("-O");
    if (job.optimize == 2) out.push_back("-OO");
    const auto fd = [](int index) { return std::to_string(kFirstPassedFd + index); };
    const std::string options[] = {clients + "/pycds_build.py",
                                   "--slot",
                                   std::to_string(job.slot),
                                   "--generation",
                                   std::to_string(job.generation),
                                   "--domain",
                                   domain_argument(job),
                                   "--plan-fd",
                                   fd(0),
                                   "--out-fd",
                                   fd(1),
                                   "--report-fd",
                                   fd(2)};
    out.insert(out.end(), std::begin(options), std::end(options));
    return out;
}

}  // namespace

Result<std::unique_ptr<core::RunningBuilder>> ProcessLauncher::launch(
    const core::BuilderJob& job, core::BuilderCallbacks callbacks) {
    const Status python = check_python(job.python);
    if (!python) return python.error();
    if (access((options_.clients + "/pycds_build.py").c_str(), R_OK) != 0) {
        return Error{ErrorCode::kNotFound,
                     "no builder in " + options_.clients + "; is --clients the right directory?"};
    }
    const Result<UniqueFd> plan = make_plan(job.plan);
    if (!plan) return plan.error();
    Result<UniqueFd> output = create_memfd("pycds-build");
    if (!output) return output.error();
    Result<Pipe> report = make_pipe();
    if (!report) return report.error();
    Result<Pipe> error_out = make_pipe();
    if (!error_out) return error_out.error();

    SpawnRequest request;
    request.arguments = command_line(job, options_.clients);
    request.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/"};
    request.stderr_fd = error_out->write_end.get();
    request.passed_fds = {plan->get(), output->get(), report->write_end.get()};
    request.max_address_space = options_.max_memory;
    request.max_file_size = options_.max_output;
    request.max_cpu = options_.deadline;
    Result<SpawnedProcess> process = spawn(request);
    if (!process) return process.error();

    BuilderProcess::Setup setup;
    setup.process = std::move(*process);
    setup.output = std::move(*output);
    setup.report = std::move(report->read_end);
    setup.error_out = std::move(error_out->read_end);
    setup.python = job.python;
    setup.deadline = options_.deadline;
    return std::unique_ptr<core::RunningBuilder>(
        std::make_unique<BuilderProcess>(loop_, std::move(setup), std::move(callbacks)));
}

}  // namespace pycds::build
