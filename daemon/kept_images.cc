#include "daemon/kept_images.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "src/common/base/event.h"
#include "src/common/base/log.h"
#include "src/common/base/text.h"

namespace pycds {

KeptImages::KeptImages(core::Service& service, core::Worker& worker, const std::string& version,
                       const std::string& cache)
    : service_(service), worker_(worker), version_(version), fd_store_(version) {
    if (!cache.empty()) cache_ = std::make_unique<keep::DiskCache>(worker, cache, version);
    service.images().add_keeper(&fd_store_);
    if (cache_) service.images().add_keeper(cache_.get());
}

void KeptImages::restore(Result<core::NewImage> image, const std::string& name,
                         core::ImageKeeper* keeper) {
    const bool from_cache = keeper == cache_.get() && keeper != nullptr;
    const std::string from = from_cache ? "the disk cache" : "the service manager's store";
    Status status = Ok{};
    wire::ImageInfo info;
    if (image) {
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
                descriptor.name.text(), &fd_store_);
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
            restore(std::move(**image), doubtful->name.text(), nullptr);
            validate_doubtful(done);
        });
}

void KeptImages::load_cache(std::function<void()> done) {
    if (!cache_) return done();
    std::vector<core::StoredImage> there;
    for (const core::StoredImage* image : service_.images().all()) there.push_back(*image);
    cache_->load(there, [this, done = std::move(done)](std::vector<core::NewImage> images) {
        for (core::NewImage& image : images) {
            const std::string name = core::kept_name(image, version_).text();
            restore(std::move(image), name, cache_.get());
        }
        done();
    });
}

}  // namespace pycds
