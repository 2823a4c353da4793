#include "daemon/policy/source_trust.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <utility>

namespace pycds::policy {
namespace {

// Linux gives up after 40 too (path_resolution(7)).
constexpr int kMaxLinks = 40;

bool writable_by_others(const struct stat& st) {
    return (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

// Takes the first component off `*rest`; empty at the end.
std::string take_component(std::string* rest) {
    const size_t begin = rest->find_first_not_of('/');
    if (begin == std::string::npos) {
        rest->clear();
        return {};
    }
    const size_t end = rest->find('/', begin);
    std::string component = rest->substr(begin, end == std::string::npos ? end : end - begin);
    rest->erase(0, end == std::string::npos ? rest->size() : end);
    return component;
}

bool has_dot_dot(std::string_view path) {
    std::string rest(path);
    for (;;) {
        const std::string component = take_component(&rest);
        if (component.empty()) return false;
        if (component == "..") return true;
    }
}

std::string join(const std::string& directory, const std::string& name) {
    return directory == "/" ? "/" + name : directory + "/" + name;
}

std::string parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::optional<std::string> link_target(const std::string& path) {
    char target[PATH_MAX];
    const ssize_t size = readlink(path.c_str(), target, sizeof target);
    if (size <= 0 || static_cast<size_t>(size) == sizeof target) return std::nullopt;
    return std::string(target, static_cast<size_t>(size));
}

}  // namespace

bool SourceTrust::is_safe_directory(const std::string& path) const {
    struct stat st {};
    return lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == root_ &&
           !writable_by_others(st) && (st.st_mode & S_IXOTH) != 0;
}

std::optional<std::string> SourceTrust::walk(std::string at, std::string rest, Kind end) {
    int links = 0;
    for (;;) {
        const std::string component = take_component(&rest);
        if (component.empty()) {
            // The path ended at a directory; `at` is one that was found safe.
            if (end == Kind::kDirectory) return at;
            return std::nullopt;
        }
        if (component == ".") continue;
        if (component == "..") {  // in the target of a link: `at` has no links, its parent is real
            at = parent_of(at);
            continue;
        }
        const std::string path = join(at, component);
        struct stat st {};
        if (lstat(path.c_str(), &st) != 0 || st.st_uid != root_) return std::nullopt;
        if (S_ISLNK(st.st_mode)) {
            std::optional<std::string> target = link_target(path);
            if (!target || ++links > kMaxLinks) return std::nullopt;
            if (target->front() == '/') at.assign(1, '/');
            rest = *target + rest;
            continue;
        }
        if (writable_by_others(st)) return std::nullopt;
        if (S_ISDIR(st.st_mode)) {
            if ((st.st_mode & S_IXOTH) == 0) return std::nullopt;
            at = path;
            continue;
        }
        const bool last = rest.find_first_not_of('/') == std::string::npos;
        const mode_t needed = end == Kind::kProgram ? S_IXOTH : S_IROTH;
        if (end != Kind::kDirectory && last && rest.empty() && S_ISREG(st.st_mode) &&
            (st.st_mode & needed) != 0) {
            return path;
        }
        return std::nullopt;
    }
}

const std::optional<std::string>& SourceTrust::directory(std::string_view path) {
    const auto known = directories_.find(std::string(path));
    if (known != directories_.end()) return known->second;
    std::optional<std::string> real;
    if (path == "/") {
        if (is_safe_directory("/")) real.emplace(1, '/');
    } else {
        const size_t slash = path.rfind('/');
        const std::optional<std::string>& parent =
            directory(slash == 0 ? std::string_view("/") : path.substr(0, slash));
        if (parent) real = walk(*parent, std::string(path.substr(slash + 1)), Kind::kDirectory);
    }
    return directories_.emplace(std::string(path), std::move(real)).first->second;
}

bool SourceTrust::pycache_is_trusted(const std::string& real_directory) {
    const auto known = pycaches_.find(real_directory);
    if (known != pycaches_.end()) return known->second;
    bool trusted = walk(real_directory, "__pycache__", Kind::kDirectory).has_value();
    if (!trusted) {
        struct stat st {};
        trusted = lstat(join(real_directory, "__pycache__").c_str(), &st) != 0 && errno == ENOENT;
    }
    return pycaches_.emplace(real_directory, trusted).first->second;
}

bool SourceTrust::is_trusted(std::string_view path) {
    return is_trusted(path, Kind::kFile);
}

bool SourceTrust::is_trusted_program(std::string_view path) {
    return is_trusted(path, Kind::kProgram);
}

bool SourceTrust::is_trusted(std::string_view path, Kind kind) {
    if (path.empty() || path.front() != '/' || path.size() >= PATH_MAX || has_dot_dot(path)) {
        return false;
    }
    if (path.find('\0') != std::string_view::npos) return false;
    const size_t slash = path.rfind('/');
    if (slash + 1 == path.size()) return false;
    const std::optional<std::string> real =
        directory(slash == 0 ? std::string_view("/") : path.substr(0, slash));
    if (!real || (kind == Kind::kFile && !pycache_is_trusted(*real))) return false;
    return walk(*real, std::string(path.substr(slash + 1)), kind).has_value();
}

}  // namespace pycds::policy
