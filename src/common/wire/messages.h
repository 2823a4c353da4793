// Messages as plain structs. Only messages.cc knows the generated code, so nothing else has to be
// recompiled, or trusted, when the .proto changes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "src/common/base/result.h"

namespace pycds::wire {

using Identity = std::array<uint8_t, 16>;

enum class Domain : int { kUnspecified = 0, kSystem = 1, kUser = 2 };

struct AttachRequest {
    Identity identity{};
    uint32_t format_version = 0;
};
struct BuildRequest {
    std::string python;
    uint32_t optimize = 0;
    bool for_run = false;
    bool offered = false;
    bool hashes = false;
};
struct ListRequest {};
struct StatusRequest {};
struct DropRequest {
    std::string id;
};
struct FetchRequest {
    std::string id;
};
struct LayoutRequest {};
using Request = std::variant<AttachRequest, BuildRequest, ListRequest, StatusRequest, DropRequest,
                             FetchRequest, LayoutRequest>;

struct ImageInfo {
    std::string id;
    Identity identity{};
    std::string python;
    uint64_t generation = 0;
    Domain domain = Domain::kUnspecified;
    uint32_t domain_uid = 0;
    uint64_t size = 0;  // bytes
    uint64_t requested_base = 0;
    uint32_t roots = 0;
    uint32_t left_out = 0;
    uint64_t published_unix_ms = 0;
    uint64_t attaches = 0;
    uint64_t runtime_base = 0;
};
struct AttachReply {
    std::vector<ImageInfo> images;
};
struct LeftOutCount {
    std::string reason;
    uint32_t count = 0;
};
struct BuildReply {
    std::vector<ImageInfo> images;
    std::vector<LeftOutCount> left_out;
    uint32_t milliseconds = 0;
};
struct BuildProgress {
    uint32_t done = 0;
    uint32_t total = 0;
};
struct ListReply {
    std::vector<ImageInfo> images;
};
struct StatusReply {
    std::string version;
    uint32_t pid = 0;
    uint64_t uptime_ms = 0;
    uint64_t attaches = 0;
    uint64_t attach_misses = 0;
    uint32_t images = 0;
    uint64_t image_bytes = 0;
    uint32_t connections = 0;
    uint32_t builds_running = 0;
    uint64_t builds_done = 0;
    uint64_t builds_failed = 0;
};
struct DropReply {
    uint32_t dropped = 0;
};
struct FetchReply {
    ImageInfo image;
};
struct LayoutReply {
    uint64_t common_base = 0;
    uint32_t hash_seed = 0;
};
struct SourcesReply {};
using Reply = std::variant<Error, AttachReply, BuildReply, ListReply, StatusReply, DropReply,
                           FetchReply, BuildProgress, LayoutReply, SourcesReply>;

// Bytes of one packet. The result may exceed kMaxMessageSize if the strings in it are long enough;
// whoever sends checks.
std::string encode(const Request& request);
std::string encode(const Reply& reply);

// kCorrupt for bytes that are no message, kInvalidArgument for a message that asks for nothing
// known or whose identity is not 16 bytes. Never aborts, whatever the bytes.
Result<Request> decode_request(std::span<const std::byte> packet);
Result<Reply> decode_reply(std::span<const std::byte> packet);

}  // namespace pycds::wire
