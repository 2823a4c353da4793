#include "ctl/pages/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "src/common/image/format.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ctl {
namespace {

using image::kPageSize;

constexpr std::string_view kOurPrefix = "/memfd:pycds-img-";
constexpr std::string_view kDeleted = " (deleted)";

// One process, even if its number is given to another: a directory of /proc stays that of the
// process that it was opened for.
class Process {
  public:
    static Result<Process> open(pid_t pid) {
        Process process(pid);
        process.directory_.reset(
            ::open(fmt::format("/proc/{}", pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!process.directory_) return process.failure("/proc", errno);
        return process;
    }

    Result<std::vector<MapsEntry>> maps() const {
        Result<UniqueFd> fd = open_file("maps");
        if (!fd) return fd.error();
        std::string text;
        char buffer[1 << 16];
        for (;;) {
            const ssize_t n = read(fd->get(), buffer, sizeof buffer);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return failure("maps", errno);
            if (n == 0) break;
            text.append(buffer, static_cast<size_t>(n));
        }
        Result<std::vector<MapsEntry>> entries = parse_maps(text);
        if (!entries) {
            return Error{entries.error().code,
                         fmt::format("cannot understand maps of process {}: {}", pid_,
                                     entries.error().message)};
        }
        // What has ended but nobody has waited for.
        if (entries->empty()) return ended();
        return entries;
    }

    Status merge_states(const std::vector<MappedRun>& runs, std::vector<PageState>* states) const {
        Result<UniqueFd> fd = open_file("pagemap");
        if (!fd) return fd.error();
        std::vector<std::byte> buffer(size_t{1} << 16);
        const uint64_t most = buffer.size() / sizeof(uint64_t);
        for (const MappedRun& run : runs) {
            for (uint64_t done = 0; done < run.pages;) {
                const uint64_t count = std::min(most, run.pages - done);
                const std::span part(buffer.data(), count * sizeof(uint64_t));
                const uint64_t page = run.address / kPageSize + done;
                Status read = read_whole(fd->get(), "pagemap", page * sizeof(uint64_t), part);
                if (!read) return read;
                merge_pagemap(part, std::span(*states).subspan(run.first_page + done, count));
                done += count;
            }
        }
        return Ok{};
    }

    // What the process has at `address`.
    Status read_memory(uint64_t address, std::span<std::byte> bytes) const {
        Result<UniqueFd> fd = open_file("mem");
        if (!fd) return fd.error();
        return read_whole(fd->get(), "mem", address, bytes);
    }

    Error ended() const {
        return Error{ErrorCode::kNotFound,
                     fmt::format("process {} has ended, or never had memory of its own", pid_)};
    }

  private:
    explicit Process(pid_t pid) : pid_(pid) {}

    Result<UniqueFd> open_file(const char* name) const {
        UniqueFd fd(openat(directory_.get(), name, O_RDONLY | O_CLOEXEC));
        if (!fd) return failure(name, errno);
        return fd;
    }

    Error failure(const char* what, int number) const {
        switch (number) {
            case ENOENT:
            case ESRCH: return {ErrorCode::kNotFound, fmt::format("there is no process {}", pid_)};
            case EACCES:
            case EPERM:
                return {ErrorCode::kPermissionDenied,
                        fmt::format("may not read {} of process {}: it is of another user, or "
                                    "protected (ask as root)",
                                    what, pid_)};
            default:
                return errno_error(fmt::format("cannot read {} of process {}", what, pid_), number);
        }
    }

    Status read_whole(int fd, const char* what, uint64_t offset, std::span<std::byte> bytes) const {
        for (size_t done = 0; done < bytes.size();) {
            const ssize_t n = pread(fd, bytes.data() + done, bytes.size() - done,
                                    static_cast<off_t>(offset + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return failure(what, errno);
            if (n == 0) return ended();
            done += static_cast<size_t>(n);
        }
        return Ok{};
    }

    pid_t pid_;
    UniqueFd directory_;
};

// Which other images are mapped, for a message: "it maps img-1, img-2".
std::string others(const std::vector<MapsEntry>& maps) {
    std::string list;
    for (const MapsEntry& entry : maps) {
        std::string_view name = entry.name;
        if (!name.starts_with(kOurPrefix) || entry.offset != 0) continue;
        name.remove_prefix(std::string_view("/memfd:pycds-").size());
        if (name.ends_with(kDeleted)) name.remove_suffix(kDeleted.size());
        list += list.empty() ? "it maps " : ", ";
        list += name;
    }
    return list.empty() ? "it maps none; in it, _pycds.stats() says why" : list;
}

// The file that the process maps as an image and that begins as this one does. The header has the checksum
// of all of it.
Result<std::optional<FileIdentity>> same_contents(const Process& process,
                                                  const std::vector<MapsEntry>& maps,
                                                  std::span<const std::byte> image) {
    image::Header header;
    std::memcpy(&header, image.data(), sizeof header);
    for (const MapsEntry& entry : maps) {
        if (entry.offset != 0 || entry.file.inode == 0) continue;
        // By its name, if it lies elsewhere than it wants to.
        if (entry.begin != header.requested_base && !entry.name.starts_with(kOurPrefix)) continue;
        std::byte page[kPageSize];
        Status read = process.read_memory(entry.begin, page);
        if (!read) return read.error();
        if (std::memcmp(page, image.data(), sizeof page) == 0) return std::optional(entry.file);
    }
    return std::optional<FileIdentity>{};
}

}  // namespace

Result<std::vector<PageState>> read_process_pages(pid_t pid, const LoadedImage& image,
                                                  const std::string& name) {
    if (const long size = sysconf(_SC_PAGESIZE); size != static_cast<long>(kPageSize)) {
        return Error{
            ErrorCode::kSystem,
            fmt::format("pages have {} bytes here, those of an image {}", size, kPageSize)};
    }
    Result<Process> process = Process::open(pid);
    if (!process) return process.error();
    Result<std::vector<MapsEntry>> maps = process->maps();
    if (!maps) return maps.error();

    const uint64_t pages = image.bytes().size() / kPageSize;
    std::vector<MappedRun> runs = runs_of(*maps, image.file(), pages);
    if (runs.empty() && image.is_copy()) {
        auto same = same_contents(*process, *maps, image.bytes());
        if (!same) return same.error();
        if (*same) runs = runs_of(*maps, **same, pages);
    }
    if (runs.empty()) {
        return Error{ErrorCode::kNotFound,
                     fmt::format("process {} does not map {} ({})", pid, name, others(*maps))};
    }
    std::vector<PageState> states(pages, PageState::kAbsent);
    Status merged = process->merge_states(runs, &states);
    if (!merged) return merged.error();
    return states;
}

}  // namespace pycds::ctl
