#include "daemon/keep/disk_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "daemon/core/kept_image.h"
#include "src/common/base/event.h"
#include "src/common/base/log.h"
#include "src/common/base/text.h"
#include "src/common/image/format.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::keep {
namespace {

using core::KeptName;
using core::NewImage;
using core::StoredImage;

constexpr std::string_view kUnfinished = ".new";

Result<UniqueFd> open_directory(const std::string& path) {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return errno_error("cannot open the cache directory " + path);
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) return errno_error("cannot look at " + path);
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022) != 0) {
        return Error{ErrorCode::kPermissionDenied,
                     "the cache directory " + path + " can be written by others than uid " +
                         std::to_string(geteuid()) + "; it is not used"};
    }
    return fd;
}

Status copy_file(int from, int to, uint64_t size) {
    off_t offset = 0;
    while (static_cast<uint64_t>(offset) < size) {
        const ssize_t n = sendfile(to, from, &offset, size - static_cast<uint64_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error("cannot write");
        if (n == 0) return Error{ErrorCode::kCorrupt, "it ends early"};
    }
    return Ok{};
}

Status write_image(int directory, const std::string& name, int image, uint64_t size) {
    const std::string unfinished = name + std::string(kUnfinished);
    unlinkat(directory, unfinished.c_str(), 0);
    const UniqueFd file(openat(directory, unfinished.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return errno_error("cannot create the file");
    Status status = copy_file(image, file.get(), size);
    if (status && renameat(directory, unfinished.c_str(), directory, name.c_str()) != 0) {
        status = errno_error("cannot rename the file");
    }
    if (!status) unlinkat(directory, unfinished.c_str(), 0);
    return status;
}

void keep_in(const std::string& path, const std::string& name, int image, uint64_t size) {
    const Result<UniqueFd> directory = open_directory(path);
    const Status status =
        directory ? write_image(directory->get(), name, image, size) : Status(directory.error());
    if (status) return;
    log_warning("an image of " + human_size(size) + " is not kept in " + path + ": " +
                status.error().message + "; it will be made anew after a reboot");
}

Result<NewImage> read_image(int directory, const std::string& file_name, const KeptName& name) {
    const UniqueFd file(
        openat(directory, file_name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return errno_error("cannot open it");
    struct stat st {};
    if (fstat(file.get(), &st) != 0) return errno_error("cannot look at it");
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        return Error{ErrorCode::kCorrupt, "it is not a file that only this daemon can write"};
    }
    if (st.st_size <= 0 || static_cast<uint64_t>(st.st_size) > image::kMaxImageSize) {
        return Error{ErrorCode::kCorrupt, "it has the wrong size"};
    }
    Result<UniqueFd> memory = create_memfd("pycds-img-cached");
    if (!memory) return memory.error();
    const Status copied = copy_file(file.get(), memory->get(), static_cast<uint64_t>(st.st_size));
    if (!copied) return copied.error();
    const Status sealed = seal(memory->get());
    if (!sealed) return sealed.error();
    Result<NewImage> image = core::restore_image(std::move(*memory), name, core::Belief::kNothing);
    if (image) use_huge_pages(image->fd.get(), image->info.size);
    return image;
}

// Everything in the directory, sorted: what happens does not depend on the file system.
Result<std::vector<std::string>> list(int directory) {
    const int copy = fcntl(directory, F_DUPFD_CLOEXEC, 0);
    DIR* stream = copy < 0 ? nullptr : fdopendir(copy);
    if (stream == nullptr) {
        if (copy >= 0) close(copy);
        return errno_error("cannot list the cache directory");
    }
    std::vector<std::string> names;
    rewinddir(stream);
    while (const dirent* entry = readdir(stream)) names.emplace_back(entry->d_name);
    closedir(stream);
    std::sort(names.begin(), names.end());
    return names;
}

struct Loaded {
    std::vector<NewImage> images;
    std::set<std::string> kept;  // names of files that stay
};

bool same_key(const KeptName& a, const KeptName& b) {
    return a.identity == b.identity && a.domain == b.domain;
}

Loaded load_from(const std::string& path, const std::vector<KeptName>& there) {
    Loaded out;
    const Result<UniqueFd> directory = open_directory(path);
    const Result<std::vector<std::string>> names =
        directory ? list(directory->get()) : Result<std::vector<std::string>>(directory.error());
    if (!names) {
        log_warning(names.error().message);
        return out;
    }
    for (const std::string& file : *names) {
        if (file.ends_with(kUnfinished)) unlinkat(directory->get(), file.c_str(), 0);
        const std::optional<KeptName> name = KeptName::parse(file);
        // What is not ours stays where it is.
        if (!name) continue;
        const auto stored = std::find_if(there.begin(), there.end(), [&](const KeptName& other) {
            return same_key(other, *name);
        });
        if (stored != there.end() && stored->text() == file) {
            out.kept.insert(file);
            continue;
        }
        Result<NewImage> image =
            stored != there.end()
                ? Result<NewImage>(Error{ErrorCode::kCorrupt, "there is a newer image"})
                : read_image(directory->get(), file, *name);
        if (!image) {
            log_event(Event::kCacheIgnored,
                      "ignored " + path + "/" + file + ": " + image.error().message,
                      {{field::kFile, path + "/" + file}, {field::kReason, image.error().message}});
            unlinkat(directory->get(), file.c_str(), 0);
            continue;
        }
        out.kept.insert(file);
        out.images.push_back(std::move(*image));
    }
    return out;
}

}  // namespace

DiskCache::DiskCache(core::Worker& worker, const std::string& directory, const std::string& version)
    : worker_(worker),
      directory_(std::make_shared<const std::string>(directory)),
      version_(version) {}

void DiskCache::load(const std::vector<StoredImage>& there,
                     std::function<void(std::vector<NewImage>)> done) {
    auto loaded = std::make_shared<Loaded>();
    worker_.post(
        [loaded, there, directory = directory_, version = version_] {
            std::vector<KeptName> names;
            for (const StoredImage& image : there) names.push_back(kept_name(image, version));
            *loaded = load_from(*directory, names);
            for (size_t i = 0; i < there.size(); ++i) {
                if (loaded->kept.contains(names[i].text())) continue;
                keep_in(*directory, names[i].text(), there[i].fd->get(), there[i].info.size);
            }
        },
        [loaded, done = std::move(done)] { done(std::move(loaded->images)); });
}

void DiskCache::keep(const StoredImage& image) {
    worker_.post([directory = directory_, name = kept_name(image, version_).text(), fd = image.fd,
                  size = image.info.size] { keep_in(*directory, name, fd->get(), size); },
                 [] {});
}

void DiskCache::forget(const StoredImage& image) {
    worker_.post(
        [directory = directory_, name = kept_name(image, version_).text()] {
            const Result<UniqueFd> opened = open_directory(*directory);
            if (opened) unlinkat(opened->get(), name.c_str(), 0);
        },
        [] {});
}

}  // namespace pycds::keep
