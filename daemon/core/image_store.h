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
};

struct ImageLimits {
    uint64_t max_bytes = uint64_t{2} << 30;
    // Few enough that a list of all of them fits one message (wire/framing.h).
    size_t max_images = 128;
};

class ImageStore {
  public:
    explicit ImageStore(ImageLimits limits) : limits_(limits) {}
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
    uint64_t bytes() const { return bytes_; }  // sum of the sizes
    const ImageLimits& limits() const { return limits_; }
    // Drops nothing: images that are more than this keep others from being published.
    void set_max_bytes(uint64_t max_bytes) { limits_.max_bytes = max_bytes; }

  private:
    void put(const ImageKey& key, StoredImage image, const ImageKeeper* known_to);
    void remove(std::map<ImageKey, StoredImage>::iterator at);

    ImageLimits limits_;
    std::vector<ImageKeeper*> keepers_;
    std::map<ImageKey, StoredImage> images_;
    uint64_t bytes_ = 0;
    uint64_t last_generation_ = 0;
    // What next_generation() returned, first and last of each run: images may be restored when some
    // are being built already.
    std::vector<std::pair<uint64_t, uint64_t>> given_;
};

}  // namespace pycds::core
