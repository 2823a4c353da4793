// The images that this daemon hands out. Pure bookkeeping: no system call of its own but the
// closing of descriptors.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/core/image_keeper.h"
#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"
#include "src/common/wire/messages.h"

namespace pycds::core {

// Of each key there is at most one image; publishing another replaces it.
struct ImageKey {
    wire::Identity identity{};
    wire::Domain domain = wire::Domain::kUnspecified;
    uid_t domain_uid = 0;  // 0 for the system domain

    auto operator<=>(const ImageKey&) const = default;
};

// A validated and sealed image on its way into the store.
struct NewImage {
    wire::ImageInfo info;  // all but attaches; published_unix_ms only if it was published before
    UniqueFd fd;
    Origin origin = {};
    uint64_t checksum = 0;  // FrozenPrefix::checksum
    std::optional<gid_t> gid = {};  // see StoredImage
    // See StoredImage.
    bool ends_with_boot = false;
};

struct ImageLimits {
    uint64_t max_bytes = uint64_t{2} << 30;
    // Few enough that a list of all of them fits one message (wire/framing.h).
    size_t max_images = 128;
    // Images of users other than the daemon's own have room of their own, beside all that.
    uint64_t user_max_bytes = uint64_t{128} << 20;
    size_t user_max_images = 8;
    uint64_t users_max_bytes = uint64_t{512} << 20;  // of all users together
    size_t users_max_images = 64;
};

class ImageStore {
  public:
    // `own_uid`: the daemon's. Without one there are no other users.
    explicit ImageStore(ImageLimits limits, std::optional<uid_t> own_uid = std::nullopt)
        : limits_(limits), own_uid_(own_uid) {}
    ImageStore(const ImageStore&) = delete;
    ImageStore& operator=(const ImageStore&) = delete;

    // A number that no other image of this daemon has; it also names the image.
    uint64_t next_generation();
    static std::string id_of_generation(uint64_t generation);

    // Is told of all that is published and dropped from now on; outlives the store.
    void add_keeper(ImageKeeper* keeper) { keepers_.push_back(keeper); }

    // All of them or, if a limit says no (kUnavailable), none. Each takes the place of the image
    // with its key, and one that the daemon made by itself also that of those which it made for the
    // same interpreter before that was upgraded, but not that of another interpreter
    // (kInvalidArgument). Returns what is now stored.
    //
    // Where users other than the daemon's own have too many images together, the oldest go of the
    // user with most bytes, unless that is who wants one more. No keeper hears of users' images.
    Result<std::vector<wire::ImageInfo>> publish(std::vector<NewImage> images, uint64_t unix_ms);

    // One that an earlier process of this daemon published. Unless there is, or is being built, one
    // of that key or that id, or a newer one that the daemon made for the same interpreter
    // (kInvalidArgument): of several the newest is to come first. Or a limit says no. `known_to`,
    // one of the keepers or null, has it already and is not told.
    Status restore(NewImage image, const ImageKeeper* known_to);

    // Null if there is none. The pointer is good until the next call that is not const.
    StoredImage* find(const ImageKey& key);
    const StoredImage* find(std::string_view id) const;
    bool has(const ImageKey& key) const { return images_.contains(key); }

    // Drops the images for which `which` says so; returns how many.
    size_t drop_if(const std::function<bool(const StoredImage&)>& which);

    // Oldest first.
    std::vector<const StoredImage*> all() const;

    size_t size() const { return images_.size(); }
    uint64_t bytes() const { return bytes_; }  // sum of the sizes, but of other users' images
    // The largest image that may be published there.
    uint64_t max_bytes_for(wire::Domain domain, uid_t domain_uid) const {
        return is_users(domain, domain_uid) ? limits_.user_max_bytes : limits_.max_bytes;
    }
    const ImageLimits& limits() const { return limits_; }
    // Drops nothing: images that are more than this keep others from being published.
    void set_limits(const ImageLimits& limits) { limits_ = limits; }

  private:
    using Images = std::map<ImageKey, StoredImage>;

    bool is_users(wire::Domain domain, uid_t domain_uid) const {
        return own_uid_ && domain == wire::Domain::kUser && domain_uid != *own_uid_;
    }
    bool is_users(const ImageKey& key) const { return is_users(key.domain, key.domain_uid); }
    Status make_room_for_user(const ImageKey& key, uint64_t size);
    void put(const ImageKey& key, StoredImage image, const ImageKeeper* known_to);
    void remove(Images::iterator at);

    ImageLimits limits_;
    const std::optional<uid_t> own_uid_;
    std::vector<ImageKeeper*> keepers_;
    Images images_;
    size_t users_images_ = 0;  // how many of images_ are other users'
    uint64_t bytes_ = 0;
    uint64_t last_generation_ = 0;
    // What next_generation() returned, first and last of each run: images may be restored when some
    // are being built already.
    std::vector<std::pair<uint64_t, uint64_t>> given_;
};

}  // namespace pycds::core
