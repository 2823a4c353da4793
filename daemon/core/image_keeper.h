// Who keeps images beyond the life of this process: the service manager's file-descriptor store, a
// cache on disk. Told by the ImageStore; implemented by daemon/sys and daemon/keep.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>

#include "src/common/os/unique_fd.h"
#include "src/common/wire/messages.h"

namespace pycds::core {

// Of an image that the daemon made by itself (discovery.h): for which interpreter, out of what.
// All zero for one that somebody asked for.
struct Origin {
    uint64_t interpreter = 0;  // hash of its path
    uint64_t fingerprint = 0;  // of everything that the image was made from

    bool by_itself() const { return interpreter != 0; }
    auto operator<=>(const Origin&) const = default;
};

struct StoredImage {
    wire::ImageInfo info;
    std::shared_ptr<const UniqueFd> fd;  // sealed
    Origin origin;
    uint64_t checksum = 0;  // FrozenPrefix::checksum
    std::optional<gid_t> gid;  // only processes with this one get it
    bool ends_with_boot = false;  // made for a secret that does
};

class ImageKeeper {
  public:
    virtual ~ImageKeeper() = default;
    // Neither fails: an image that is not kept is made again.
    virtual void keep(const StoredImage& image) = 0;
    // It was replaced or dropped.
    virtual void forget(const StoredImage& image) = 0;
};

}  // namespace pycds::core
