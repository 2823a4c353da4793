#include "ctl/distrust.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;

// Linux gives up after 40 too (path_resolution(7)).
constexpr int kMaxLinks = 40;

class Search {
  public:
    // Of a path, component by component, and of where its links lead.
    std::optional<Distrust> along(const fs::path& path, bool is_file) {
        fs::path here;
        for (auto part = path.begin(); part != path.end(); ++part) {
            here /= *part;
            const bool at_end = std::next(part) == path.end();
            if (std::optional<Distrust> found = at(here, is_file && at_end)) return found;
        }
        return std::nullopt;
    }

    std::optional<Distrust> at(const fs::path& path, bool is_file) {
        struct stat st {};
        if (lstat(path.c_str(), &st) != 0) {
            return Distrust{path, fmt::format("cannot be looked at: {}", std::strerror(errno))};
        }
        if (st.st_uid != 0) return Distrust{path, fmt::format("belongs to uid {}", st.st_uid)};
        if (!S_ISLNK(st.st_mode)) return of_mode(path, st.st_mode, is_file);
        if (++links_ > kMaxLinks) return Distrust{path, "is a link of too many in a row"};
        std::error_code failure;
        const fs::path target = fs::read_symlink(path, failure);
        if (failure) return Distrust{path, "is a link that cannot be read"};
        return along(path.parent_path() / target, is_file);
    }

  private:
    static std::optional<Distrust> of_mode(const fs::path& path, mode_t mode, bool is_file) {
        if (is_file ? !S_ISREG(mode) : !S_ISDIR(mode)) {
            return Distrust{path, is_file ? "is no regular file" : "is no directory"};
        }
        const auto distrust = [&](const char* who_can_what) {
            return Distrust{path, fmt::format("{} (mode {:04o})", who_can_what, mode & 07777U)};
        };
        if ((mode & S_IWOTH) != 0) return distrust("can be written by everybody");
        if ((mode & S_IWGRP) != 0) return distrust("can be written by its group");
        if (is_file && (mode & S_IROTH) == 0) return distrust("cannot be read by everybody");
        if (!is_file && (mode & S_IXOTH) == 0) return distrust("cannot be entered by everybody");
        return std::nullopt;
    }

    int links_ = 0;
};

}  // namespace

std::optional<Distrust> find_distrust(const std::string& source, const std::string& pyc) {
    if (std::optional<Distrust> found = Search().along(source, true)) return found;
    struct stat st {};
    const fs::path compiled(pyc);
    if (lstat(compiled.parent_path().c_str(), &st) != 0 && errno == ENOENT) return std::nullopt;
    if (std::optional<Distrust> found = Search().at(compiled.parent_path(), false)) return found;
    if (lstat(pyc.c_str(), &st) != 0 && errno == ENOENT) return std::nullopt;
    // The directory that holds the file is vouched for, not where a link of it leads.
    if (S_ISLNK(st.st_mode)) return Distrust{pyc, "is a symbolic link"};
    return Search().at(pyc, true);
}

}  // namespace pycds::ctl
