#include "daemon/core/image_store.h"

#include <algorithm>
#include <set>
#include <utility>

#include "src/common/base/text.h"

namespace pycds::core {
namespace {

ImageKey key_of(const wire::ImageInfo& info) {
    return ImageKey{info.identity, info.domain,
                    info.domain == wire::Domain::kUser ? info.domain_uid : 0};
}

}  // namespace

std::string ImageStore::id_of_generation(uint64_t generation) {
    return "img-" + std::to_string(generation);
}

Result<std::vector<wire::ImageInfo>> ImageStore::publish(std::vector<NewImage> images,
                                                         uint64_t unix_ms) {
    uint64_t bytes = bytes_;
    size_t added = 0;
    std::set<ImageKey> replaced;
    for (const NewImage& image : images) {
        const ImageKey key = key_of(image.info);
        const auto old = images_.find(key);
        if (old == images_.end()) {
            ++added;
        } else if (replaced.insert(key).second) {
            bytes -= old->second.info.size;
        }
        bytes += image.info.size;
    }
    if (bytes > limits_.max_bytes) {
        return Error{ErrorCode::kUnavailable,
                     "the image does not fit: all images would have " + human_size(bytes) +
                         ", the budget is " + human_size(limits_.max_bytes) +
                         "; drop an image, build fewer modules or raise image-budget"};
    }
    if (images_.size() + added > limits_.max_images) {
        return Error{ErrorCode::kUnavailable,
                     "there are " + std::to_string(images_.size()) + " images, the limit is " +
                         std::to_string(limits_.max_images) + "; drop one"};
    }
    std::vector<wire::ImageInfo> infos;
    for (NewImage& image : images) {
        image.info.published_unix_ms = unix_ms;
        image.info.attaches = 0;
        infos.push_back(image.info);
        const ImageKey key = key_of(image.info);
        images_[key] = StoredImage{std::move(image.info),
                                   std::make_shared<const UniqueFd>(std::move(image.fd))};
    }
    bytes_ = bytes;
    return infos;
}

StoredImage* ImageStore::find(const ImageKey& key) {
    const auto found = images_.find(key);
    return found == images_.end() ? nullptr : &found->second;
}

const StoredImage* ImageStore::find(std::string_view id) const {
    for (const auto& [key, image] : images_) {
        if (image.info.id == id) return &image;
    }
    return nullptr;
}

size_t ImageStore::drop_if(const std::function<bool(const StoredImage&)>& which) {
    return std::erase_if(images_, [&](const auto& entry) {
        if (!which(entry.second)) return false;
        bytes_ -= entry.second.info.size;
        return true;
    });
}

std::vector<const StoredImage*> ImageStore::all() const {
    std::vector<const StoredImage*> images;
    for (const auto& [key, image] : images_) images.push_back(&image);
    std::sort(images.begin(), images.end(), [](const StoredImage* a, const StoredImage* b) {
        return a->info.generation < b->info.generation;
    });
    return images;
}

}  // namespace pycds::core
