#include "client/builder/pyc_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "client/interp/import_rules.h"
#include "src/common/image/pyc_stat.h"
#include "src/common/os/stable_read.h"
#include "src/common/os/unique_fd.h"

namespace pycds::builder {
namespace {

using image::LeftOutReason;
using image::nanoseconds;

uint32_t load_u32(const unsigned char* p) {
    return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 |
           static_cast<uint32_t>(p[2]) << 16 | static_cast<uint32_t>(p[3]) << 24;
}

bool readable_by_everybody_written_by_root(const struct stat& st) {
    return st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 && (st.st_mode & S_IROTH) != 0;
}

bool is_current(const PycFile& file, const timespec& source_mtime, uint64_t source_size) {
    return file.unchecked_hash || (file.source_mtime == interp::importlib_mtime(source_mtime) &&
                                   file.source_size == static_cast<uint32_t>(source_size));
}

// What the file's own header says, of the size and more; `data` is read.
std::optional<LeftOutReason> judge_header(const PycRequest& request, PycFile* out) {
    if (out->data.size() < PycFile::kHeaderSize) return LeftOutReason::kPycCorrupt;
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
    }
    return std::nullopt;
}

}  // namespace

std::optional<LeftOutReason> read_pyc(const PycRequest& request, PycFile* out) {
    if (request.source.empty() || request.source[0] != '/') return LeftOutReason::kPath;
    struct stat source {};
    if (stat(request.source.c_str(), &source) != 0) return LeftOutReason::kNoSource;

    out->path = image::pyc_path(request.source, request.cache_tag, request.optimize);
    // For everybody: the daemon's policy has vouched for the directory that holds the file, not for
    // where a symbolic link leads.
    const int link_rule = request.for_everybody ? O_NOFOLLOW : 0;
    const UniqueFd fd(
        open(out->path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | link_rule));
    if (!fd && errno == ELOOP && request.for_everybody) return LeftOutReason::kNotTrusted;
    if (!fd)
        return errno == ENOENT || errno == ENOTDIR ? LeftOutReason::kNoPyc
                                                   : LeftOutReason::kPycUnreadable;
    struct stat about {};
    if (fstat(fd.get(), &about) != 0 || !S_ISREG(about.st_mode)) {
        return LeftOutReason::kPycUnreadable;
    }
    if (request.for_everybody && !readable_by_everybody_written_by_root(about)) {
        return LeftOutReason::kNotTrusted;
    }
    if (about.st_size > image::kMaxPycSize) return LeftOutReason::kPycUnreadable;
    switch (read_stable(fd.get(), about, &out->data)) {
        case StableRead::kDone: break;
        case StableRead::kFailed: return LeftOutReason::kPycUnreadable;
        case StableRead::kChanged: return LeftOutReason::kChanged;
    }
    const std::optional<LeftOutReason> reason = judge_header(request, out);
    if (reason) return reason;
    if (!is_current(*out, source.st_mtim, static_cast<uint64_t>(source.st_size))) {
        return LeftOutReason::kPycStale;
    }
    out->size = static_cast<uint64_t>(about.st_size);
    out->dev = about.st_dev;
    out->ino = about.st_ino;
    out->mtime_ns = nanoseconds(about.st_mtim);
    out->ctime_ns = nanoseconds(about.st_ctim);
    return std::nullopt;
}

std::optional<LeftOutReason> take_pyc(const PycRequest& request, const image::OfferedFile& about,
                                      PycFile* out) {
    if (request.source.empty() || request.source[0] != '/') return LeftOutReason::kPath;
    out->path = image::pyc_path(request.source, request.cache_tag, request.optimize);
    const std::optional<LeftOutReason> reason = judge_header(request, out);
    if (reason) return reason;
    constexpr int64_t kSecond = 1'000'000'000;
    const int64_t rest = about.source_mtime_ns % kSecond;
    const int64_t before = rest < 0 ? 1 : 0;  // seconds that division rounds up
    const timespec mtime{about.source_mtime_ns / kSecond - before, rest + before * kSecond};
    if (!is_current(*out, mtime, about.source_size)) return LeftOutReason::kPycStale;
    out->size = about.size;
    out->dev = about.dev;
    out->ino = about.ino;
    out->mtime_ns = about.mtime_ns;
    out->ctime_ns = about.ctime_ns;
    return std::nullopt;
}

}  // namespace pycds::builder
