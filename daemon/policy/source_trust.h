// Is a source file the system's: readable by everybody, and nobody but root can change it or what
// its path leads to?
//
// Trusted is an absolute path without ".." such that
//   - every directory walked, from / on, is root's, not writable by group or others, and
//     searchable by others;
//   - the directory's __pycache__, where importlib looks for the code, is such a directory too if
//     it exists;
//   - the file is a regular file of root's, not writable by group or others, readable by others.
// Symbolic links are followed by hand, and everything on the way of their targets must satisfy
// the same. POSIX ACLs need no look of their own: their mask shows as the group's mode bits
// (acl(5)).
//
// There is no race to lose: whatever was walked could only be changed by root.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pycds::policy {

// Remembers what it saw of directories: make one per plan. Not thread-safe.
class SourceTrust {
  public:
    // `root` is who must own everything; another uid is for tests.
    explicit SourceTrust(uid_t root = 0) : root_(root) {}

    bool is_trusted(std::string_view path);

    // The same of a program, which must be executable by others and has no __pycache__.
    bool is_trusted_program(std::string_view path);

  private:
    enum class Kind { kDirectory, kFile, kProgram };

    // Walks `rest` from the trusted directory `at` (a path without symbolic links). The path
    // without symbolic links of what it leads to if everything on the way is trusted and the end
    // is of that kind.
    std::optional<std::string> walk(std::string at, std::string rest, Kind end);

    // The same for a directory, remembered.
    const std::optional<std::string>& directory(std::string_view path);

    bool is_trusted(std::string_view path, Kind kind);
    bool pycache_is_trusted(const std::string& real_directory);
    bool is_safe_directory(const std::string& path) const;

    const uid_t root_;
    std::unordered_map<std::string, std::optional<std::string>> directories_;
    std::unordered_map<std::string, bool> pycaches_;
};

}  // namespace pycds::policy
