#include "client/builder/pyc_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "client/interp/import_rules.h"
#include "src/common/os/unique_fd.h"

namespace pycds::builder {
namespace {

using image::LeftOutReason;
using interp::nanoseconds;

// A module larger than this is no module (the largest of Debian's is below 2 MiB).
constexpr int64_t kMaxPycSize = int64_t{256} << 20;

uint32_t load_u32(const unsigned char* p) {
    return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 |
           static_cast<uint32_t>(p[2]) << 16 | static_cast<uint32_t>(p[3]) << 24;
}

bool read_whole(int fd, size_t size, std::vector<unsigned char>* out) {
    out->resize(size);
    size_t done = 0;
    while (done < size) {
        const ssize_t n = pread(fd, out->data() + done, size - done, static_cast<off_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += static_cast<size_t>(n);
    }
    return true;
}

bool same_file(const struct stat& a, const struct stat& b) {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
           nanoseconds(a.st_mtim) == nanoseconds(b.st_mtim) &&
           nanoseconds(a.st_ctim) == nanoseconds(b.st_ctim);
}

bool readable_by_everybody_written_by_root(const struct stat& st) {
    return st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 && (st.st_mode & S_IROTH) != 0;
}

}  // namespace

std::string pyc_path(const std::string& source, const std::string& cache_tag, int optimize) {
    const size_t slash = source.rfind('/');
    const std::string directory = slash == std::string::npos ? "" : source.substr(0, slash + 1);
    const std::string tail = slash == std::string::npos ? source : source.substr(slash + 1);
    const size_t dot = tail.rfind('.');
    const bool has_base = dot != std::string::npos && dot != 0;
    const std::string base = has_base                   ? tail.substr(0, dot)
                             : dot == std::string::npos ? tail
                                                        : tail.substr(dot + 1);
    const std::string separator = dot == std::string::npos ? "" : ".";
    const std::string suffix = optimize == 0 ? "" : ".opt-" + std::to_string(optimize);
    return directory + "__pycache__/" + base + separator + cache_tag + suffix + ".pyc";
}

std::optional<LeftOutReason> read_pyc(const PycRequest& request, PycFile* out) {
    if (request.source.empty() || request.source[0] != '/') return LeftOutReason::kPath;
    struct stat source {};
    if (stat(request.source.c_str(), &source) != 0) return LeftOutReason::kNoSource;

    out->path = pyc_path(request.source, request.cache_tag, request.optimize);
    // For everybody: the daemon's policy has vouched for the directory that holds the file, not for
    // where a symbolic link leads.
    const int link_rule = request.for_everybody ? O_NOFOLLOW : 0;
    const UniqueFd fd(
        open(out->path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | link_rule));
    if (!fd && errno == ELOOP && request.for_everybody) return LeftOutReason::kNotTrusted;
    if (!fd)
        return errno == ENOENT || errno == ENOTDIR ? LeftOutReason::kNoPyc
                                                   : LeftOutReason::kPycUnreadable;
    struct stat before {};
    if (fstat(fd.get(), &before) != 0 || !S_ISREG(before.st_mode)) {
        return LeftOutReason::kPycUnreadable;
    }
    if (request.for_everybody && !readable_by_everybody_written_by_root(before)) {
        return LeftOutReason::kNotTrusted;
    }
    if (before.st_size < static_cast<int64_t>(PycFile::kHeaderSize)) {
        return LeftOutReason::kPycCorrupt;
    }
    if (before.st_size > kMaxPycSize) return LeftOutReason::kPycUnreadable;
    if (!read_whole(fd.get(), static_cast<size_t>(before.st_size), &out->data)) {
        return LeftOutReason::kPycUnreadable;
    }
    struct stat after {};
    if (fstat(fd.get(), &after) != 0 || !same_file(before, after)) return LeftOutReason::kChanged;

    const unsigned char* header = out->data.data();
    if (load_u32(header) != request.magic_number) return LeftOutReason::kPycMagic;
    const uint32_t flags = load_u32(header + 4);
    if ((flags & ~3U) != 0) return LeftOutReason::kPycCorrupt;
    if ((flags & 1U) != 0) {
        if ((flags & 2U) != 0) return LeftOutReason::kPycCheckedHash;
        out->unchecked_hash = true;
    } else {
        out->source_mtime = load_u32(header + 8);
        out->source_size = load_u32(header + 12);
        if (out->source_mtime != interp::importlib_mtime(source.st_mtim) ||
            out->source_size != static_cast<uint32_t>(source.st_size)) {
            return LeftOutReason::kPycStale;
        }
    }
    out->size = static_cast<uint64_t>(before.st_size);
    out->dev = before.st_dev;
    out->ino = before.st_ino;
    out->mtime_ns = nanoseconds(before.st_mtim);
    out->ctime_ns = nanoseconds(before.st_ctim);
    return std::nullopt;
}

}  // namespace pycds::builder
