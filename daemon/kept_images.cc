#include "daemon/kept_images.h"

#include <optional>
#include <utility>

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

void KeptImages::restore(Result<core::NewImage> image, const std::string& name, const char* from,
                         core::ImageKeeper* keeper) {
    Status status = Ok{};
    std::string what;
    if (image) {
        what = image->info.id + " for Python " +
               printable(image->info.python.substr(0, image->info.python.find(' '))) + ", " +
               std::to_string(image->info.roots) + " modules, " + human_size(image->info.size);
        status = service_.images().restore(std::move(*image), keeper);
    } else {
        status = image.error();
    }
    if (status) {
        log_info("restored " + what + ", from the " + from);
        return;
    }
    log_notice("an image from the " + std::string(from) +
               " is not used: " + printable(status.error().message));
    if (keeper == &fd_store_) fd_store_.remove(name);
}

void KeptImages::take(std::vector<sys::StoredDescriptor> stored) {
    for (sys::StoredDescriptor& descriptor : stored) {
        const std::optional<core::KeptName> name = core::KeptName::parse(descriptor.name);
        if (!name) {
            log_notice(
                "dropped a descriptor that the service manager kept: its name is none of ours");
            fd_store_.remove(descriptor.name);
        } else if (name->version != version_) {
            doubtful_.push_back({*name, descriptor.name, std::move(descriptor.fd)});
        } else {
            restore(restore_image(std::move(descriptor.fd), *name, core::Belief::kSealedByUs),
                    descriptor.name, "service manager's store", &fd_store_);
        }
    }
}

void KeptImages::load(std::function<void()> done) {
    validate_doubtful([this, done = std::move(done)] { load_cache(done); });
}

void KeptImages::validate_doubtful(std::function<void()> done) {
    if (doubtful_.empty()) return done();
    auto doubtful = std::make_shared<Doubtful>(std::move(doubtful_.back()));
    doubtful_.pop_back();
    auto image = std::make_shared<std::optional<Result<core::NewImage>>>();
    worker_.post(
        [doubtful, image] {
            image->emplace(
                restore_image(std::move(doubtful->fd), doubtful->name, core::Belief::kNothing));
        },
        [this, doubtful, image, done = std::move(done)] {
            // Stored under this version's name by us, no longer under the old one's.
            fd_store_.remove(doubtful->text);
            restore(std::move(**image), doubtful->text, "store of another version", nullptr);
            validate_doubtful(done);
        });
}

void KeptImages::load_cache(std::function<void()> done) {
    if (!cache_) return done();
    std::vector<core::StoredImage> there;
    for (const core::StoredImage* image : service_.images().all()) there.push_back(*image);
    cache_->load(there, [this, done = std::move(done)](std::vector<core::NewImage> images) {
        for (core::NewImage& image : images) {
            restore(std::move(image), {}, "disk cache", cache_.get());
        }
        done();
    });
}

}  // namespace pycds
