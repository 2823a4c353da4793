#include "daemon/keep/disk_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
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

bool same_key(const KeptName& a, const KeptName& b) {
    return a.identity == b.identity && a.domain == b.domain;
}

// Files of images, the newest first. What is not ours stays where it is.
std::vector<KeptName> find_files(const std::string& path) {
    std::vector<KeptName> found;
    const Result<UniqueFd> directory = open_directory(path);
    const Result<std::vector<std::string>> names =
        directory ? list(directory->get()) : Result<std::vector<std::string>>(directory.error());
    if (!names) {
        log_warning(names.error().message);
        return found;
    }
    for (const std::string& file : *names) {
        if (file.ends_with(kUnfinished)) unlinkat(directory->get(), file.c_str(), 0);
        std::optional<KeptName> name = KeptName::parse(file);
        if (name) found.push_back(std::move(*name));
    }
    std::stable_sort(found.begin(), found.end(), [](const KeptName& a, const KeptName& b) {
        return a.published_unix_ms > b.published_unix_ms;
    });
    return found;
}

// Under this version's name from now on: that is the one by which it will be forgotten.
Result<NewImage> take_file(int directory, const KeptName& name, const std::string& version) {
    Result<NewImage> image = read_image(directory, name.text(), name);
    if (image && name.version != version) {
        const std::string now = kept_name(*image, version).text();
        renameat(directory, name.text().c_str(), directory, now.c_str());
    }
    return image;
}

// The image of a file, or nothing and no file.
std::optional<NewImage> load_file(const std::string& path, const KeptName& name,
                                  const std::string& version, bool has_newer) {
    const Result<UniqueFd> directory = open_directory(path);
    if (!directory) return std::nullopt;
    Result<NewImage> image =
        has_newer ? Result<NewImage>(Error{ErrorCode::kCorrupt, "there is a newer image"})
                  : take_file(directory->get(), name, version);
    if (image) return std::move(*image);
    const std::string file = path + "/" + name.text();
    log_event(Event::kCacheIgnored, "ignored " + file + ": " + image.error().message,
              {{field::kFile, file}, {field::kReason, image.error().message}});
    unlinkat(directory->get(), name.text().c_str(), 0);
    return std::nullopt;
}

void remove_from(const std::string& path, const std::string& name) {
    const Result<UniqueFd> directory = open_directory(path);
    if (directory) unlinkat(directory->get(), name.c_str(), 0);
}

}  // namespace

DiskCache::DiskCache(core::Worker& worker, const std::string& directory, const std::string& version)
    : worker_(worker),
      directory_(std::make_shared<const std::string>(directory)),
      version_(version) {}

// A load() under way. The worker and we have it in turns.
struct DiskCache::Load {
    std::vector<StoredImage> there;
    std::function<void(std::vector<NewImage>)> done;
    std::vector<KeptName> files;
    size_t at = 0;
    std::optional<NewImage> image;  // of files[at]
    std::vector<KeptName> used;     // the newest of each key
    std::vector<NewImage> images;
};

void DiskCache::load(const std::vector<StoredImage>& there,
                     std::function<void(std::vector<NewImage>)> done) {
    auto load = std::make_shared<Load>();
    load->there = there;
    load->done = std::move(done);
    for (const StoredImage& image : there) load->used.push_back(kept_name(image, version_));
    worker_.post([load, directory = directory_] { load->files = find_files(*directory); },
                 [this, load] { read_next(load); });
}

// One file is one piece of work: the worker has others, and is watched (sys/watchdog.h).
void DiskCache::read_next(const std::shared_ptr<Load>& load) {
    if (load->at == load->files.size()) {
        for (const StoredImage& image : load->there) {
            const std::string name = kept_name(image, version_).text();
            const bool has_file =
                std::any_of(load->files.begin(), load->files.end(),
                            [&](const KeptName& file) { return file.text() == name; });
            if (!has_file) keep(image);  // unless it may not be on a disk
        }
        return load->done(std::move(load->images));
    }
    const KeptName& name = load->files[load->at];
    const auto used = std::find_if(load->used.begin(), load->used.end(),
                                   [&](const KeptName& other) { return same_key(other, name); });
    const bool has_newer = used != load->used.end();
    if (has_newer && used->text() == name.text()) {
        ++load->at;
        return read_next(load);
    }
    worker_.post(
        [load, directory = directory_, version = version_, has_newer] {
            load->image = load_file(*directory, load->files[load->at], version, has_newer);
        },
        [this, load] {
            if (load->image) {
                load->used.push_back(load->files[load->at]);
                load->images.push_back(std::move(*load->image));
                load->image.reset();
            }
            ++load->at;
            read_next(load);
        });
}

void DiskCache::keep(const StoredImage& image) {
    if (image.ends_with_boot) return;
    worker_.post([directory = directory_, name = kept_name(image, version_).text(), fd = image.fd,
                  size = image.info.size] { keep_in(*directory, name, fd->get(), size); },
                 [] {});
}

void DiskCache::forget(const StoredImage& image) {
    if (image.ends_with_boot) return;
    remove(kept_name(image, version_).text());
}

void DiskCache::remove(const std::string& name) {
    worker_.post([directory = directory_, name] { remove_from(*directory, name); }, [] {});
}

}  // namespace pycds::keep
