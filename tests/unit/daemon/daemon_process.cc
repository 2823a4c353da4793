#include "tests/unit/daemon/daemon_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/unit/daemon/test_client.h"

namespace pycds::test {
namespace {

// What the body of a builder can use.
constexpr const char* kBuilderHead = R"(
import os, signal, sys, time
def option(name):
    return sys.argv[sys.argv.index(name) + 1]
HERE = os.path.dirname(__file__)
PLAN, OUT, REPORT, FILTER = (int(option('--%s-fd' % name)) for name in ('plan', 'out', 'report', 'filter'))
def report(text):
    os.write(REPORT, (text + '\n').encode())
def say(text):
    # The one way out of the sandbox, besides an image.
    report('error ' + str(text))
    os._exit(1)
def write_image():
    name = 'image-%s-%s' % (option('--slot'), option('--generation'))
    with open(os.path.join(HERE, name), 'rb') as stream:
        os.write(OUT, stream.read())
)";

constexpr int kSdListenFdsStart = 3;

void move_to(int from, int to) {
    if (from == to) {
        fcntl(to, F_SETFD, 0);
    } else {
        dup2(from, to);
    }
}

}  // namespace

DaemonProcess::DaemonProcess() {
    EXPECT_EQ(mkdir((dir_ / "client").c_str(), 0755), 0);
    set_builder("sys.exit(9)");
}

DaemonProcess::~DaemonProcess() {
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    if (testing::Test::HasFailure()) std::fprintf(stderr, "daemon's log:\n%s", log().c_str());
}

void DaemonProcess::set_builder(const std::string& python) const {
    write_file(dir_ / "client/pycds_build.py", kBuilderHead + python + "\n");
}

std::vector<pid_t> DaemonProcess::children() const {
    std::vector<pid_t> out;
    const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
        std::ifstream stream(task.path() / "children");
        for (pid_t child = 0; stream >> child;) out.push_back(child);
    }
    return out;
}

bool DaemonProcess::spawn(const Start& how) {
    notify_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string notify_path = dir_ / "notify";
    std::memcpy(address.sun_path, notify_path.data(), notify_path.size());
    unlink(notify_path.c_str());
    if (bind(notify_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        ADD_FAILURE() << "cannot make a notification socket";
        return false;
    }
    // Nothing of the machine's: neither its configuration nor its interpreters.
    std::vector<std::string> arguments{PYCDSD, "--clients", dir_ / "client", "--discover", "false"};
    if (std::count(how.arguments.begin(), how.arguments.end(), "--config") == 0) {
        arguments.insert(arguments.end(), {"--config", "/dev/null"});
    }
    if (how.own_socket) arguments.insert(arguments.end(), {"--socket", socket()});
    arguments.insert(arguments.end(), how.arguments.begin(), how.arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);

    pid_ = fork();
    if (pid_ == 0) {
        const int log = open((dir_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(log, STDERR_FILENO);
        setenv("NOTIFY_SOCKET", notify_path.c_str(), 1);
        for (const std::string& variable : how.environment) {
            putenv(const_cast<char*>(variable.c_str()));
        }
        if (how.activation_socket >= 0) {
            move_to(how.activation_socket, kSdListenFdsStart);
            setenv("LISTEN_FDS", "1", 1);
            setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
        }
        if (how.in_child && !how.in_child()) _exit(77);
        execv(argv[0], argv.data());
        _exit(126);
    }
    return pid_ > 0;
}

bool DaemonProcess::start(const Start& how) {
    if (!spawn(how)) return false;
    // A daemon that fails never says READY: its end counts too.
    pollfd events[2] = {{notify_.get(), POLLIN, 0}, {-1, POLLIN, 0}};
    for (int i = 0; i < kDeadlineSeconds * 20; ++i) {
        if (poll(events, 1, 50) == 1) {
            const std::string said = next_notification();
            // The hash seed, to be kept.
            if (said.starts_with("FDSTORE=1")) continue;
            return said.starts_with("READY=1");
        }
        siginfo_t info{};
        if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == pid_) {
            return false;
        }
    }
    return false;
}

int DaemonProcess::stop(int signal) {
    kill(pid_, signal);
    return wait();
}

int DaemonProcess::wait() {
    EXPECT_TRUE(wait_for_end(pid_)) << "the daemon does not end";
    kill(pid_, SIGKILL);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

bool DaemonProcess::notified_within(std::chrono::milliseconds time) {
    pollfd event{notify_.get(), POLLIN, 0};
    return poll(&event, 1, static_cast<int>(time.count())) == 1;
}

std::string DaemonProcess::next_notification() {
    pollfd event{notify_.get(), POLLIN, 0};
    if (poll(&event, 1, kDeadlineSeconds * 1000) != 1) return {};
    char buffer[4096];
    const ssize_t n = recv(notify_.get(), buffer, sizeof buffer, 0);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : std::string();
}

}  // namespace pycds::test
