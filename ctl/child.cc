#include "ctl/child.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "src/common/os/sealed_memfd.h"
#include "src/common/os/unique_fd.h"

extern char** environ;

namespace pycds::ctl {
namespace {

// Enough for any error; a module that prints while it is imported may print a lot.
constexpr size_t kMaxKept = size_t{256} * 1024;

std::string name_of(std::string_view variable) {
    return std::string(variable.substr(0, variable.find('=') + 1));
}

std::vector<std::string> environment_with(const std::vector<std::string>& variables) {
    std::vector<std::string> all;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view current = *entry;
        const bool replaced =
            std::any_of(variables.begin(), variables.end(),
                        [&](const std::string& v) { return current.starts_with(name_of(v)); });
        if (!replaced) all.emplace_back(current);
    }
    all.insert(all.end(), variables.begin(), variables.end());
    return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    pointers.reserve(strings.size() + 1);
    for (std::string& s : strings) pointers.push_back(s.data());
    pointers.push_back(nullptr);
    return pointers;
}

// The end of what was written to `fd`.
std::string tail_of(int fd) {
    const int64_t size = regular_file_size(fd);
    if (size <= 0) return {};
    const size_t keep = std::min(static_cast<size_t>(size), kMaxKept);
    std::string text(keep, '\0');
    const ssize_t got = pread(fd, text.data(), keep, size - static_cast<int64_t>(keep));
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
}

class FileActions {
  public:
    FileActions() { posix_spawn_file_actions_init(&actions_); }
    ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    void use(int fd, int as) { posix_spawn_file_actions_adddup2(&actions_, fd, as); }
    const posix_spawn_file_actions_t* get() const { return &actions_; }

  private:
    posix_spawn_file_actions_t actions_;
};

// Waits without reaping. Without pidfds (Linux before 5.3) there are no ticks, only the wait.
void wait_with_ticks(pid_t pid, const std::function<void()>& tick) {
    if (!tick) return;
    // Not through <sys/pidfd.h>, which C++ cannot use before glibc 2.37: no extern "C".
    const UniqueFd handle(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!handle) return;
    pollfd ready{handle.get(), POLLIN, 0};
    for (;;) {
        const int n = poll(&ready, 1, 100);
        if (n > 0 || (n < 0 && errno != EINTR)) return;
        tick();
    }
}

}  // namespace

Result<ChildEnd> run_child(const ChildSpec& spec, const std::function<void()>& tick) {
    // Files, not pipes: a grandchild that lives on would hold a pipe open, and two pipes would
    // have to be read at once.
    Result<UniqueFd> output = create_memfd("pycdsctl-stdout");
    if (!output) return output.error();
    Result<UniqueFd> errors = create_memfd("pycdsctl-stderr");
    if (!errors) return errors.error();
    UniqueFd nothing;
    if (spec.input < 0) {
        nothing.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (!nothing) return errno_error("cannot open /dev/null");
    }

    // dup2 clears close-on-exec also where both numbers are equal (posix_spawn(3)), but a source
    // must not be overwritten before it is used: move those below kPassedFd out of the way.
    FileActions actions;
    UniqueFd passed;
    if (spec.descriptor >= 0) {
        passed.reset(fcntl(spec.descriptor, F_DUPFD_CLOEXEC, kPassedFd + 1));
        if (!passed) return errno_error("cannot duplicate a descriptor");
    }
    actions.use(spec.input < 0 ? nothing.get() : spec.input, 0);
    actions.use(output->get(), 1);
    actions.use(errors->get(), 2);
    if (passed) actions.use(passed.get(), kPassedFd);

    std::vector<std::string> arguments{spec.path};
    arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
    std::vector<std::string> environment = environment_with(spec.variables);
    pid_t pid = 0;
    const int failure = posix_spawn(&pid, spec.path.c_str(), actions.get(), nullptr,
                                    pointers_to(arguments).data(), pointers_to(environment).data());
    if (failure != 0) {
        Error error = errno_error("cannot run " + spec.path, failure);
        if (failure == ENOENT || failure == ENOTDIR) error.code = ErrorCode::kNotFound;
        if (failure == EACCES || failure == EPERM) error.code = ErrorCode::kPermissionDenied;
        return error;
    }
    wait_with_ticks(pid, tick);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return errno_error("cannot wait for " + spec.path);
    }
    ChildEnd end;
    if (WIFSIGNALED(status)) {
        end.signal = WTERMSIG(status);
    } else {
        end.status = WEXITSTATUS(status);
    }
    end.output = tail_of(output->get());
    end.errors = tail_of(errors->get());
    return end;
}

std::vector<std::string> fields_of(std::string_view text) {
    std::vector<std::string> fields;
    size_t end = 0;
    while ((end = text.find('\0')) != std::string_view::npos) {
        fields.emplace_back(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    return fields;
}

std::string last_line(const std::string& text) {
    const char* const blank = " \t\r\n";
    const size_t end = text.find_last_not_of(blank);
    if (end == std::string::npos) return {};
    const size_t newline = text.find_last_of('\n', end);
    const size_t begin = text.find_first_not_of(blank, newline == std::string::npos ? 0 : newline);
    return text.substr(begin, end + 1 - begin);
}

}  // namespace pycds::ctl
