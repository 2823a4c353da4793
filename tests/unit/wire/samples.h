// One of each message, with every field set to something that is not its default.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "src/common/wire/messages.h"

namespace pycds::wire::samples {

inline Identity identity() {
    Identity out;
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint8_t>(0xf0 + i);
    return out;
}

inline ImageInfo image(uint64_t number) {
    ImageInfo out;
    out.id = "img-" + std::to_string(number);
    out.identity = identity();
    out.python = "3.13.5 (main)";
    out.generation = number;
    out.domain = Domain::kUser;
    out.domain_uid = 4'000'000'000;
    out.size = uint64_t{1} << 33;
    out.requested_base = 0x2000'1000'0000;
    out.roots = 4567;
    out.left_out = 89;
    out.published_unix_ms = 1'700'000'000'123;
    out.attaches = 300;
    out.runtime_base = uint64_t{1} << 46;
    return out;
}

inline std::vector<Request> requests() {
    return {AttachRequest{identity(), 1},
            BuildRequest{"/usr/bin/python3.13", 2, true, true, true},
            ListRequest{},
            StatusRequest{},
            DropRequest{"img-3"},
            FetchRequest{"img-4"},
            LayoutRequest{}};
}

inline std::vector<Reply> replies() {
    StatusReply status;
    status.version = "0.1.0";
    status.pid = 4321;
    status.uptime_ms = 99'999'999'999;
    status.attaches = 1;
    status.attach_misses = 2;
    status.images = 3;
    status.image_bytes = uint64_t{5} << 32;
    status.connections = 6;
    status.builds_running = 7;
    status.builds_done = 8;
    status.builds_failed = 9;
    return {Error{ErrorCode::kPermissionDenied, "no"},
            AttachReply{{image(1), image(2)}},
            BuildReply{{image(3)}, {{"pyc-stale", 4}, {"no-pyc", 200}}, 1234},
            ListReply{{image(5)}},
            status,
            DropReply{6},
            FetchReply{image(7)},
            BuildProgress{8, 900},
            LayoutReply{0x6612'3460'0000, 4'000'000'001},
            SourcesReply{}};
}

inline std::span<const std::byte> bytes(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace pycds::wire::samples
