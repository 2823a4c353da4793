#include "ctl/image_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "src/common/image/format.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::ctl {
namespace {

Error file_error(const std::string& path, int failure) {
    Error error = errno_error("cannot read " + path, failure);
    if (failure == ENOENT || failure == ENOTDIR) error.code = ErrorCode::kNotFound;
    if (failure == EACCES || failure == EPERM) error.code = ErrorCode::kPermissionDenied;
    return error;
}

Status check_size(const std::string& name, int64_t size) {
    if (size >= 0 && static_cast<uint64_t>(size) <= image::kMaxImageSize) return Ok{};
    return Error{ErrorCode::kCorrupt,
                 size < 0 ? fmt::format("{} is no image: not a regular file", name)
                          : fmt::format("{} is no image: {} bytes, at most {} are possible", name,
                                        size, image::kMaxImageSize)};
}

FileIdentity identity_of(int fd) {
    struct stat st {};
    if (fstat(fd, &st) != 0) return {};  // which no mapping has
    return {major(st.st_dev), minor(st.st_dev), st.st_ino};
}

}  // namespace

Result<LoadedImage> load_file(const std::string& path) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return file_error(path, errno);
    const int64_t size = regular_file_size(fd.get());
    Status fits = check_size(path, size);
    if (!fits) return fits.error();
    LoadedImage image;
    const size_t total = static_cast<size_t>(size);
    image.copy_ = std::make_unique<uint64_t[]>((total + 7) / 8);
    std::byte* const begin = reinterpret_cast<std::byte*>(image.copy_.get());
    size_t done = 0;
    while (done < total) {
        const ssize_t n = read(fd.get(), begin + done, total - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_error(path, errno);
        if (n == 0) break;
        done += static_cast<size_t>(n);
    }
    image.bytes_ = {begin, done};
    image.file_ = identity_of(fd.get());
    return image;
}

Result<LoadedImage> load_sealed(int fd, const std::string& name) {
    if (!has_image_seals(fd)) {
        return Error{
            ErrorCode::kCorrupt,
            fmt::format("image {} is not sealed: what the daemon handed out can change", name)};
    }
    const int64_t size = regular_file_size(fd);
    Status fits = check_size("image " + name, size);
    if (!fits) return fits.error();
    Result<Mapping> mapping = Mapping::map_read_only(fd, static_cast<size_t>(size));
    if (!mapping) return mapping.error();
    LoadedImage image;
    image.mapping_ = std::move(*mapping);
    image.bytes_ = image.mapping_.bytes();
    image.file_ = identity_of(fd);
    return image;
}

Result<LoadedImage> load_image(const std::string& name, const std::string& socket_path) {
    if (name.find('/') != std::string::npos) return load_file(name);
    Result<Connection> daemon = Connection::open(socket_path);
    if (!daemon) return daemon.error();
    Result<Answer> answer = daemon->call(wire::FetchRequest{name});
    if (!answer) {
        Error error = answer.error();
        if (error.code == ErrorCode::kNotFound && access(name.c_str(), F_OK) == 0) {
            error.message += fmt::format(" (for the file of that name write ./{})", name);
        }
        return error;
    }
    if (!std::holds_alternative<wire::FetchReply>(answer->reply) || answer->fds.size() != 1) {
        return daemon->unexpected();
    }
    return load_sealed(answer->fds[0].get(), name);
}

Status judge(const std::string& name, const image::Verdict& verdict) {
    if (verdict.ok()) return Ok{};
    return Error{ErrorCode::kCorrupt,
                 fmt::format("{}: {} (offset {:#x})", name, image::defect_text(verdict.defect),
                             verdict.offset)};
}

}  // namespace pycds::ctl
