// A peer of the daemon: plain blocking calls that give up after a deadline.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/common/os/unique_fd.h"
#include "src/common/wire/messages.h"

namespace pycds::test {

// How long anything may take that should happen at once. Generous: sanitizers, loaded machines.
inline constexpr int kDeadlineSeconds = 30;

struct Answer {
    wire::Reply message;
    std::vector<UniqueFd> fds;

    template <typename T>
    const T* as() const {
        return std::get_if<T>(&message);
    }
};

class TestClient {
  public:
    // Connected, or the test fails.
    explicit TestClient(const std::string& socket);
    TestClient(const TestClient&) = delete;
    TestClient& operator=(const TestClient&) = delete;

    int fd() const { return fd_.get(); }
    void close() { fd_.reset(); }

    // False if the daemon is gone.
    bool send(const wire::Request& request, const std::vector<int>& fds = {});
    bool send_bytes(const std::string& bytes);

    // The next reply, or nothing with a failed test.
    std::optional<Answer> receive();

    // The last reply, after any progress.
    std::optional<Answer> receive_last();

    // Waits until the daemon has closed the connection; false if it does not, or sends something.
    bool wait_for_close();

  private:
    UniqueFd fd_;
};

// A memfd with the plan of a build: each path ended by a NUL.
UniqueFd make_plan(const std::vector<std::string>& paths);

// Waits until the process has ended.
bool wait_for_end(pid_t pid);

}  // namespace pycds::test
