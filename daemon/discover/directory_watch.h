// inotify(7) over many directories, for changes that can make a Python module another.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/discovery.h"
#include "daemon/core/event_loop.h"
#include "src/common/os/unique_fd.h"

namespace pycds::discover {

class DirectoryWatch final : public core::DirectoryWatcher {
  public:
    // Without inotify nothing is reported, which is logged.
    DirectoryWatch(core::EventLoop& loop, std::function<void()> changed);

    bool watch(const std::vector<std::string>& directories) override;

  private:
    void on_readable();

    const std::function<void()> changed_;
    UniqueFd fd_;
    std::map<std::string, int> watched_;  // inotify's number of each
    size_t failed_ = 0;                   // could not be watched the last time
    std::unique_ptr<core::Watch> readable_;
};

// Can a file of that name, in a directory that is watched, change what is imported or with what?
bool matters(std::string_view name);

}  // namespace pycds::discover
