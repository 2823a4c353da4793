#include "daemon/kept_images.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "src/common/base/event.h"
#include "src/common/base/log.h"
#include "src/common/base/text.h"
#include "src/common/image/format.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds {

KeptImages::KeptImages(core::Service& service, core::Worker& worker, const std::string& version,
                       const std::string& cache)
    : service_(service), worker_(worker), version_(version), fd_store_(version) {
    if (!cache.empty()) cache_ = std::make_unique<keep::DiskCache>(worker, cache, version);
    service.images().add_keeper(&fd_store_);
    if (cache_) service.images().add_keeper(cache_.get());
}

void KeptImages::restore(Result<core::NewImage> image, const std::string& name,
                         core::ImageKeeper* keeper, bool from_cache) {
    const std::string from = from_cache ? "the disk cache" : "the service manager's store";
    Status status = Ok{};
    wire::ImageInfo info;
    if (image && image->ends_with_boot && (from_cache || !hash_seed_is_kept_)) {
        status = Error{ErrorCode::kUnavailable, "the hash seed that it was made for is gone"};
    } else if (image) {
        info = image->info;
        status = service_.images().restore(std::move(*image), keeper);
    } else {
        status = image.error();
    }
    if (!status) {
        log_event(Event::kCacheIgnored,
                  "an image in " + from + " is not used: " + printable(status.error().message),
                  {{field::kFile, name}, {field::kReason, printable(status.error().message)}});
        // Otherwise it would be there again after every start.
        if (keeper == &fd_store_) fd_store_.remove(name);
        if (from_cache) cache_->remove(name);
        return;
    }
    log_event(from_cache ? Event::kImageCached : Event::kImageRestored,
              info.id + " is back from " + from + ": Python " +
                  printable(short_version(info.python)) + ", " + std::to_string(info.roots) +
                  " modules, " + human_size(info.size),
              {{field::kImage, info.id},
               {field::kFile, name},
               {field::kModules, std::to_string(info.roots)},
               {field::kBytes, std::to_string(info.size)}});
}

uint64_t KeptImages::common_base_of(const std::vector<sys::StoredDescriptor>& stored) {
    for (const sys::StoredDescriptor& descriptor : stored) {
        image::Header header;
        if (core::KeptName::parse(descriptor.name) && has_image_seals(descriptor.fd.get()) &&
            pread(descriptor.fd.get(), &header, sizeof header, 0) ==
                static_cast<ssize_t>(sizeof header) &&
            image::is_common_base(header.runtime_base)) {
            return header.runtime_base;
        }
    }
    return 0;
}

void KeptImages::take(std::vector<sys::StoredDescriptor> stored) {
    std::vector<Descriptor> ours;
    for (sys::StoredDescriptor& descriptor : stored) {
        std::optional<core::KeptName> name = core::KeptName::parse(descriptor.name);
        if (name) {
            ours.push_back({std::move(*name), std::move(descriptor.fd)});
        } else {
            log_notice(
                "dropped a descriptor that the service manager kept: its name is none of ours");
            fd_store_.remove(descriptor.name);
        }
    }
    // The newest first, as the store wants it.
    std::stable_sort(ours.begin(), ours.end(), [](const Descriptor& a, const Descriptor& b) {
        return a.name.published_unix_ms > b.name.published_unix_ms;
    });
    for (Descriptor& descriptor : ours) {
        if (descriptor.name.version != version_) {
            doubtful_.push_back(std::move(descriptor));
            continue;
        }
        restore(restore_image(std::move(descriptor.fd), descriptor.name, core::Belief::kSealedByUs),
                descriptor.name.text(), &fd_store_, false);
    }
}

void KeptImages::load(std::function<void()> done) {
    validate_doubtful([this, done = std::move(done)] { load_cache(done); });
}

void KeptImages::validate_doubtful(std::function<void()> done) {
    if (doubtful_.empty()) return done();
    auto doubtful = std::make_shared<Descriptor>(std::move(doubtful_.front()));
    doubtful_.erase(doubtful_.begin());
    auto image = std::make_shared<std::optional<Result<core::NewImage>>>();
    worker_.post(
        [doubtful, image] {
            image->emplace(
                restore_image(std::move(doubtful->fd), doubtful->name, core::Belief::kNothing));
        },
        [this, doubtful, image, done = std::move(done)] {
            // Stored under this version's name by us, no longer under the old one's.
            fd_store_.remove(doubtful->name.text());
            restore(std::move(**image), doubtful->name.text(), nullptr, false);
            validate_doubtful(done);
        });
}

void KeptImages::load_cache(std::function<void()> done) {
    if (!cache_) return done();
    std::vector<core::StoredImage> there;
    for (const core::StoredImage* image : service_.images().all()) there.push_back(*image);
    cache_->load(there, [this, done = std::move(done)](std::vector<core::NewImage> images) {
        for (core::NewImage& image : images) {
            if (image::is_common_base(image.info.runtime_base) &&
                image.info.runtime_base != common_base_) {
                displaced_.push_back(std::move(image));
                continue;
            }
            const std::string name = core::kept_name(image, version_).text();
            restore(std::move(image), name, cache_.get(), true);
        }
        rebase_next(done);
    });
}

void KeptImages::rebase_next(std::function<void()> done) {
    if (displaced_.empty()) return done();
    auto image = std::make_shared<core::NewImage>(std::move(displaced_.front()));
    displaced_.erase(displaced_.begin());
    auto rebased = std::make_shared<std::optional<Result<core::NewImage>>>();
    worker_.post([image, rebased,
                  base = common_base_] { rebased->emplace(core::rebase_image(*image, base)); },
                 [this, image, rebased, done = std::move(done)] {
                     // The cache gets it under its new name, as from a builder.
                     const std::string name = core::kept_name(*image, version_).text();
                     cache_->remove(name);
                     restore(std::move(**rebased), name, nullptr, true);
                     rebase_next(done);
                 });
}

}  // namespace pycds
