#include "daemon/build/reaper.h"

#include <signal.h>
#include <sys/wait.h>

#include <utility>

namespace pycds::build {

void kill_group(pid_t pid) {
    kill(-pid, SIGKILL);
    // In the moment between fork and setsid there is no group yet.
    kill(pid, SIGKILL);
}

void Reaper::take(SpawnedProcess process) {
    kill_group(process.pid);
    if (waitpid(process.pid, nullptr, WNOHANG) == process.pid) return;
    dying_.push_back(Dying{std::move(process), nullptr});
    const auto at = std::prev(dying_.end());
    at->watch = loop_.watch_readable(at->process.pid_fd.get(), [this, at] {
        // What it started and left behind has its number for a group.
        kill_group(at->process.pid);
        if (waitpid(at->process.pid, nullptr, WNOHANG) != 0) dying_.erase(at);
    });
}

}  // namespace pycds::build
