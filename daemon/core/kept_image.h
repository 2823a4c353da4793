// An image that was kept beyond the life of the process that published it (image_keeper.h): its
// name there, and its way back into the store.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/core/image_store.h"
#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"

namespace pycds::core {

// What the image itself does not say. As text it is its name: ASCII letters, digits, '.', '+', '-'
// and '~', at most 200 of them, good for sd_pid_notify_with_fds(3) FDNAME= and for a file.
struct KeptName {
    std::string identity;  // 32 hexadecimal digits
    std::string domain;    // "system", or "user-UID"
    Origin origin;
    uint64_t published_unix_ms = 0;
    uint64_t checksum = 0;
    std::string version;  // of the daemon that validated it

    std::string text() const;
    // Nothing if it is not what text() returns.
    static std::optional<KeptName> parse(std::string_view text);
};

// For a StoredImage and a NewImage alike.
KeptName kept_name(const wire::ImageInfo& info, Origin origin, uint64_t checksum,
                   std::string_view version);
template <typename Image>
KeptName kept_name(const Image& image, std::string_view version) {
    return kept_name(image.info, image.origin, image.checksum, version);
}

// How far bytes are believed that come back.
enum class Belief {
    // The seals hold and a process of this very version validated what has this checksum: a
    // checksum is enough. Milliseconds.
    kSealedByUs,
    // All of it is validated as if a builder had just written it.
    kNothing,
};

// The image in `fd`, a sealed memfd (kCorrupt otherwise), if it is what the name says it is.
// kCorrupt with what is wrong.
Result<NewImage> restore_image(UniqueFd fd, const KeptName& name, Belief belief);

// The same image for an interpreter that is loaded at `common_base` (image/rebase.h): another
// sealed memfd. `image` was validated and has a runtime_base.
Result<NewImage> rebase_image(const NewImage& image, uint64_t common_base);

}  // namespace pycds::core
