// The way of a builder's output into the daemon: copied, validated, compared with what was asked
// for, sealed. Nothing of the builder's own memory is ever handed to anybody.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/core/image_store.h"
#include "src/common/base/result.h"
#include "src/common/image/format.h"
#include "src/common/wire/messages.h"

namespace pycds::core {

// What the image must be.
struct ExpectedImage {
    uint32_t slot = 0;
    uint64_t generation = 0;
    uint32_t optimize = 0;
    wire::Domain domain = wire::Domain::kSystem;
    uid_t domain_uid = 0;
    uint64_t max_size = 0;  // bytes
    std::string plan;       // what the builder was given: it may speak of no other paths
    // Or there was no plan: what it speaks of, only the owner of the files will hear.
    bool any_paths = false;
};

struct ImportedImage {
    NewImage image;
    // Most frequent first.
    std::vector<wire::LeftOutCount> left_out;
};

// kBuildFailed if the bytes are not a valid image or not the one that was asked for, kUnavailable
// if it is too large. Takes as long as reading and hashing all of it: for the worker's thread.
Result<ImportedImage> import_image(int output_fd, const ExpectedImage& expected);

// What the header of a valid image says of it; all but the time and the attaches.
wire::ImageInfo describe_image(const image::Header& header);

}  // namespace pycds::core
