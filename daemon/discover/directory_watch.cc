#include "daemon/discover/directory_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "daemon/discover/interpreters.h"
#include "src/common/base/log.h"

namespace pycds::discover {
namespace {

constexpr uint32_t kChanges = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE |
                              IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

}  // namespace

bool matters(std::string_view name) {
    return name.ends_with(".py") || name.ends_with(".pyc") || is_interpreter_name(name);
}

DirectoryWatch::DirectoryWatch(core::EventLoop& loop, std::function<void()> changed)
    : changed_(std::move(changed)), fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (!fd_) {
        log_warning(errno_error("changes of files are not noticed: inotify").message +
                    "; reload the daemon after upgrades");
        return;
    }
    readable_ = loop.watch_readable(fd_.get(), [this] { on_readable(); });
}

bool DirectoryWatch::watch(const std::vector<std::string>& directories) {
    if (!fd_) return false;
    const std::set<std::string> wanted(directories.begin(), directories.end());
    for (auto it = watched_.begin(); it != watched_.end();) {
        if (wanted.contains(it->first)) {
            ++it;
            continue;
        }
        inotify_rm_watch(fd_.get(), it->second);
        it = watched_.erase(it);
    }
    bool new_ones = false;
    size_t failed = 0;
    int error = 0;
    for (const std::string& directory : wanted) {
        // Again for those that are watched: the name may lead to another directory by now.
        const int number =
            inotify_add_watch(fd_.get(), directory.c_str(), kChanges | IN_ONLYDIR | IN_EXCL_UNLINK);
        if (number >= 0) {
            const auto [at, inserted] = watched_.try_emplace(directory, number);
            new_ones = new_ones || inserted || at->second != number;
            at->second = number;
        } else if (errno == ENOSPC || errno == ENOMEM) {
            ++failed;
            error = errno;
        }
    }
    // Once, not with every look.
    if (failed != 0 && std::exchange(failed_, failed) == 0) {
        log_warning("changes in " + std::to_string(failed) + " of " +
                    std::to_string(wanted.size()) + " directories are not noticed: " +
                    std::strerror(error) + "; raise fs.inotify.max_user_watches");
    }
    failed_ = failed;
    return new_ones;
}

void DirectoryWatch::on_readable() {
    alignas(inotify_event) char buffer[16 * 1024];
    bool changed = false;
    // A few buffers at a time: whoever makes events without end must not keep the loop.
    for (int i = 0; i < 8; ++i) {
        const ssize_t size = read(fd_.get(), buffer, sizeof buffer);
        if (size <= 0) break;
        for (ssize_t at = 0; at < size;) {
            inotify_event event{};
            std::memcpy(&event, buffer + at, sizeof event);
            const char* name = buffer + at + sizeof event;
            at += static_cast<ssize_t>(sizeof event + event.len);
            // A watch that we took away ourselves.
            if (event.mask == IN_IGNORED) continue;
            const bool about_itself =
                event.len == 0 || (event.mask & (IN_ISDIR | IN_Q_OVERFLOW)) != 0;
            changed = changed || about_itself || matters(name);
        }
    }
    if (changed) changed_();
}

}  // namespace pycds::discover
