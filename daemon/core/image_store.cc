#include "daemon/core/image_store.h"

#include <algorithm>
#include <set>
#include <utility>

#include "src/common/base/event.h"
#include "src/common/base/text.h"

namespace pycds::core {
namespace {

ImageKey key_of(const wire::ImageInfo& info) {
    return ImageKey{info.identity, info.domain,
                    info.domain == wire::Domain::kUser ? info.domain_uid : 0};
}

StoredImage stored(NewImage image) {
    return StoredImage{std::move(image.info), std::make_shared<const UniqueFd>(std::move(image.fd)),
                       image.origin, image.checksum, image.gid, image.ends_with_boot};
}

// Both made by the daemon itself, for two interpreters: they would replace each other for ever.
bool same_build(Origin a, Origin b) {
    return a.by_itself() && b.by_itself() && a.interpreter != b.interpreter;
}

// Both made by the daemon itself for one interpreter, out of different files: one is old.
bool same_interpreter(Origin a, Origin b) {
    return a.by_itself() && a.interpreter == b.interpreter && a != b;
}

bool superseded(const StoredImage& old, const std::vector<NewImage>& images) {
    return std::any_of(images.begin(), images.end(), [&](const NewImage& image) {
        return same_interpreter(image.origin, old.origin);
    });
}

}  // namespace

uint64_t ImageStore::next_generation() {
    if (given_.empty() || given_.back().second != last_generation_) {
        given_.emplace_back(last_generation_ + 1, last_generation_ + 1);
    }
    return given_.back().second = ++last_generation_;
}

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
        if (is_users(key)) {
            const Status room = make_room_for_user(key, image.info.size);
            if (!room) return room.error();
            continue;
        }
        const auto old = images_.find(key);
        if (old != images_.end() && same_build(old->second.origin, image.origin)) {
            return Error{ErrorCode::kInvalidArgument,
                         "another interpreter of the very same build has " + old->second.info.id +
                             ", and there is one image per build"};
        }
        if (old == images_.end()) {
            ++added;
        } else if (replaced.insert(key).second) {
            bytes -= old->second.info.size;
        }
        bytes += image.info.size;
    }
    for (const auto& [key, old] : images_) {
        if (!replaced.contains(key) && superseded(old, images)) bytes -= old.info.size;
    }
    if (bytes > limits_.max_bytes) {
        return Error{ErrorCode::kUnavailable,
                     "the image does not fit: all images would have " + human_size(bytes) +
                         ", the budget is " + human_size(limits_.max_bytes) +
                         "; drop an image, build fewer modules or raise image-budget"};
    }
    const size_t images_before = images_.size() - users_images_;
    if (images_before + added > limits_.max_images) {
        return Error{ErrorCode::kUnavailable,
                     "there are " + std::to_string(images_before) + " images, the limit is " +
                         std::to_string(limits_.max_images) + "; drop one"};
    }
    std::vector<wire::ImageInfo> infos;
    for (NewImage& image : images) {
        image.info.published_unix_ms = unix_ms;
        image.info.attaches = 0;
        infos.push_back(image.info);
        const ImageKey key = key_of(image.info);
        put(key, stored(std::move(image)), nullptr);
    }
    drop_if([&](const StoredImage& old) { return superseded(old, images); });
    return infos;
}

Status ImageStore::restore(NewImage image, const ImageKeeper* known_to) {
    const ImageKey key = key_of(image.info);
    const uint64_t generation = image.info.generation;
    const bool given = std::any_of(given_.begin(), given_.end(), [&](const auto& run) {
        return run.first <= generation && generation <= run.second;
    });
    if (given || images_.contains(key) || find(std::string_view(image.info.id)) != nullptr) {
        return Error{ErrorCode::kInvalidArgument, "there is another image in its place"};
    }
    for (const auto& [other_key, other] : images_) {
        if (same_interpreter(image.origin, other.origin)) {
            return Error{ErrorCode::kInvalidArgument,
                         "its interpreter has a newer image, " + other.info.id};
        }
    }
    if (bytes_ + image.info.size > limits_.max_bytes ||
        images_.size() - users_images_ == limits_.max_images) {
        return Error{ErrorCode::kUnavailable, "the image does not fit into the budget"};
    }
    last_generation_ = std::max(last_generation_, generation);
    image.info.attaches = 0;
    put(key, stored(std::move(image)), known_to);
    return Ok{};
}

void ImageStore::put(const ImageKey& key, StoredImage image, const ImageKeeper* known_to) {
    if (const auto old = images_.find(key); old != images_.end()) remove(old);
    const uint64_t size = image.info.size;
    const StoredImage& kept = images_[key] = std::move(image);
    if (is_users(key)) {
        ++users_images_;
        return;
    }
    bytes_ += size;
    for (ImageKeeper* keeper : keepers_) {
        if (keeper != known_to) keeper->keep(kept);
    }
}

void ImageStore::remove(Images::iterator at) {
    if (is_users(at->first)) {
        --users_images_;
    } else {
        for (ImageKeeper* keeper : keepers_) keeper->forget(at->second);
        bytes_ -= at->second.info.size;
    }
    images_.erase(at);
}

Status ImageStore::make_room_for_user(const ImageKey& key, uint64_t size) {
    struct Has {
        uint64_t bytes = 0;
        std::vector<Images::iterator> images;

        std::vector<Images::iterator>::const_iterator oldest() const {
            return std::min_element(images.begin(), images.end(), [](auto a, auto b) {
                return a->second.info.generation < b->second.info.generation;
            });
        }
        // By number; of equals who has the older one has more.
        bool has_fewer_than(const Has& other) const {
            if (images.size() != other.images.size()) return images.size() < other.images.size();
            return !images.empty() && (*oldest())->second.info.generation >
                                          (*other.oldest())->second.info.generation;
        }
    };
    // As it will be, with the new image and without the one that it replaces.
    std::map<uid_t, Has> users;
    uint64_t bytes = size;
    size_t count = 1;
    for (auto at = images_.begin(); at != images_.end(); ++at) {
        if (!is_users(at->first) || at->first == key) continue;
        Has& has = users[at->first.domain_uid];
        has.images.push_back(at);
        has.bytes += at->second.info.size;
        bytes += at->second.info.size;
        ++count;
    }
    const uint64_t own_bytes = users[key.domain_uid].bytes + size;
    const size_t own_count = users[key.domain_uid].images.size() + 1;
    if (own_bytes > limits_.user_max_bytes || own_count > limits_.user_max_images) {
        return Error{ErrorCode::kUnavailable,
                     "the images of uid " + std::to_string(key.domain_uid) + " would be " +
                         std::to_string(own_count) + " and have " +
                         human_size(own_bytes) + "; a user's may be " +
                         std::to_string(limits_.user_max_images) + " and have " +
                         human_size(limits_.user_max_bytes) + ": drop one, or build fewer modules"};
    }
    std::vector<Images::iterator> victims;
    while (bytes > limits_.users_max_bytes || count > limits_.users_max_images) {
        const bool too_large = bytes > limits_.users_max_bytes;
        const auto most =
            std::max_element(users.begin(), users.end(), [&](const auto& a, const auto& b) {
                return too_large ? a.second.bytes < b.second.bytes
                                 : a.second.has_fewer_than(b.second);
            });
        Has& has = most->second;
        const bool has_more = too_large ? has.bytes > own_bytes : has.images.size() >= own_count;
        if (!has_more || most->first == key.domain_uid) {
            return Error{ErrorCode::kUnavailable,
                         "the images of all users together leave no room for it, and no user has "
                         "more than uid " +
                             std::to_string(key.domain_uid) + " would have; try again later"};
        }
        const auto oldest = has.oldest();
        has.bytes -= (*oldest)->second.info.size;
        bytes -= (*oldest)->second.info.size;
        --count;
        victims.push_back(*oldest);
        has.images.erase(oldest);
    }
    for (const Images::iterator victim : victims) {
        log_event(Event::kImageDropped,
                  victim->second.info.id + " dropped: its user has most, and another needs room",
                  {{field::kImage, victim->second.info.id},
                   {field::kReason, "another user needs room"},
                   {field::kUid, std::to_string(victim->first.domain_uid)}});
        remove(victim);
    }
    return Ok{};
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
    size_t dropped = 0;
    for (auto at = images_.begin(); at != images_.end();) {
        const auto next = std::next(at);
        if (which(at->second)) {
            remove(at);
            ++dropped;
        }
        at = next;
    }
    return dropped;
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
