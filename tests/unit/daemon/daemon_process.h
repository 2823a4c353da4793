// The real pycdsd, started in a directory of the test's own with a builder that the test scripts.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "src/common/os/unique_fd.h"
#include "tests/unit/daemon/temp_dir.h"

namespace pycds::test {

class DaemonProcess {
  public:
    struct Start {
        std::vector<std::string> arguments;    // beside --socket and --clients
        std::vector<std::string> environment;  // NAME=value, beside the test's own
        int activation_socket = -1;            // passed as a service manager would
        bool own_socket = true;                // say --socket
        // Called in the child when all else is ready; without success it ends with 77.
        std::function<bool()> in_child = nullptr;
    };

    // What pycds_build.py does is Python text; see daemon_process.cc for what it finds.
    DaemonProcess();
    DaemonProcess(const DaemonProcess&) = delete;
    DaemonProcess& operator=(const DaemonProcess&) = delete;
    // Kills it, if it runs.
    ~DaemonProcess();

    // Starts it and waits for nothing. False if there is no process.
    bool spawn(const Start& how);

    // Starts it and waits until it says that it is ready. False if it ends before.
    bool start(const Start& how);
    bool start() { return start(Start{}); }

    // Sends the signal and waits for the end: the exit status, or -signal.
    int stop(int signal);
    // The same without a signal.
    int wait();

    // The next notification that it sends to its service manager, or "" after the deadline.
    std::string next_notification();
    // Does one come within that time?
    bool notified_within(std::chrono::milliseconds time);

    // Body of the builder from now on.
    void set_builder(const std::string& python) const;

    // Processes that it has started and that have not ended.
    std::vector<pid_t> children() const;

    std::string socket() const { return dir_ / "run/pycdsd.sock"; }
    std::string path(const std::string& name) const { return dir_ / name; }
    std::string log() const { return read_file(dir_ / "log"); }
    pid_t pid() const { return pid_; }

  private:
    TempDir dir_;
    UniqueFd notify_;
    pid_t pid_ = -1;
};

}  // namespace pycds::test
