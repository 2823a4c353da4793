// The attach request that a tiny image of default options answers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "src/common/image/format.h"
#include "src/common/wire/messages.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::test {

inline wire::AttachRequest attach_request() {
    wire::AttachRequest out;
    const std::vector<uint8_t> digest =
        fakes::tiny_identity_digest(fakes::TinyImageOptions{}.identity);
    std::copy(digest.begin(), digest.end(), out.identity.begin());
    out.format_version = image::kFormatVersion;
    return out;
}

}  // namespace pycds::test
