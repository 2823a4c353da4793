#include "ctl/offer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "ctl/interpreter.h"
#include "src/common/image/format.h"
#include "src/common/image/offered_file.h"
#include "src/common/image/pyc_path.h"
#include "src/common/image/pyc_stat.h"
#include "src/common/os/stable_read.h"

namespace pycds::ctl {
namespace {

using image::LeftOutReason;
using image::nanoseconds;

bool is_the_systems(const std::string& path) {
    struct stat st {};
    return stat(path.c_str(), &st) == 0 && st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Nothing, or why there is none.
std::optional<LeftOutReason> read_own(const std::string& source, const std::string& pyc,
                                      image::OfferedFile* about, std::vector<unsigned char>* data) {
    struct stat st {};
    if (stat(source.c_str(), &st) != 0) return LeftOutReason::kNoSource;
    about->source_mtime_ns = nanoseconds(st.st_mtim);
    about->source_size = static_cast<uint64_t>(st.st_size);
    const UniqueFd fd(open(pyc.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd && (errno == ENOENT || errno == ENOTDIR)) return LeftOutReason::kNoPyc;
    if (!fd || fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > image::kMaxPycSize) {
        return LeftOutReason::kPycUnreadable;
    }
    about->dev = st.st_dev;
    about->ino = st.st_ino;
    about->size = static_cast<uint64_t>(st.st_size);
    about->mtime_ns = nanoseconds(st.st_mtim);
    about->ctime_ns = nanoseconds(st.st_ctim);
    switch (read_stable(fd.get(), st, data)) {
        case StableRead::kDone: return std::nullopt;
        case StableRead::kChanged: return LeftOutReason::kChanged;
        case StableRead::kFailed: break;
    }
    return LeftOutReason::kPycUnreadable;
}

// False if nobody takes it any more.
bool send_bytes(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
}

}  // namespace

Result<OwnSources> own_sources(int plan) {
    const Result<Mapping> mapping = map_plan(plan);
    if (!mapping) return mapping.error();
    const std::span<const std::byte> bytes = mapping->bytes();
    std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    OwnSources out;
    while (!rest.empty()) {
        const std::string path(rest.substr(0, rest.find('\0')));
        rest.remove_prefix(path.size() + 1);
        if (is_the_systems(path)) {
            ++out.of_the_system;
        } else {
            out.paths.push_back(path);
        }
    }
    if (!out.paths.empty()) return out;
    return Error{ErrorCode::kNotFound,
                 fmt::format("all {} sources are the system's, whose image root makes, or the daemon "
                             "by itself; of yours there are none",
                             out.of_the_system)};
}

Offer::Offer(std::vector<std::string> paths, std::string cache_tag, uint32_t optimize)
    : paths_(std::move(paths)), cache_tag_(std::move(cache_tag)), optimize_(optimize) {}

Offer::~Offer() {
    if (!thread_.joinable()) return;
    // Who waits in send(2) is told.
    shutdown(socket_.get(), SHUT_RDWR);
    thread_.join();
}

void Offer::start(UniqueFd socket) {
    if (thread_.joinable()) return;
    socket_ = std::move(socket);
    thread_ = std::thread([this] { send_all(); });
}

void Offer::send_all() {
    std::vector<unsigned char> data;
    for (const std::string& path : paths_) {
        image::OfferedFile about;
        const std::optional<LeftOutReason> why_not = read_own(
            path, image::pyc_path(path, cache_tag_, static_cast<int>(optimize_)), &about, &data);
        std::string source(1, static_cast<char>(why_not.value_or(LeftOutReason{})));
        source.append(path).push_back('\0');
        if (!why_not) {
            source.append(reinterpret_cast<const char*>(&about), sizeof about);
            source.append(reinterpret_cast<const char*>(data.data()), data.size());
        }
        if (!send_bytes(socket_.get(), source)) return;
    }
    shutdown(socket_.get(), SHUT_WR);
}

}  // namespace pycds::ctl
