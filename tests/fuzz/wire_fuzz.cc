// Bytes of a packet, read in all the ways in which daemon, tools and client read them. Beyond not
// crashing: what decodes, encodes to something that decodes to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "src/common/wire/messages.h"
#include "src/common/wire/mini.h"

namespace {

using pycds::Result;

void require(bool condition) {
    if (!condition) std::abort();
}

std::span<const std::byte> bytes(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

// Visits fields and, as far as they can be messages, what is in them.
void walk(const unsigned char* data, size_t size, int depth) {
    pycds::wire::MiniReader reader(data, size);
    while (reader.next()) {
        if (reader.bytes() == nullptr) continue;
        require(reader.bytes() >= data && reader.bytes() + reader.size() <= data + size);
        if (depth > 0) walk(reader.bytes(), reader.size(), depth - 1);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto packet = std::as_bytes(std::span(data, size));
    walk(data, size, 3);
    const Result<pycds::wire::Request> request = pycds::wire::decode_request(packet);
    if (request) {
        const std::string again = pycds::wire::encode(*request);
        const Result<pycds::wire::Request> second = pycds::wire::decode_request(bytes(again));
        require(second.ok() && pycds::wire::encode(*second) == again);
    }
    const Result<pycds::wire::Reply> reply = pycds::wire::decode_reply(packet);
    if (reply) {
        const std::string again = pycds::wire::encode(*reply);
        const Result<pycds::wire::Reply> second = pycds::wire::decode_reply(bytes(again));
        require(second.ok() && pycds::wire::encode(*second) == again);
        walk(reinterpret_cast<const unsigned char*>(again.data()), again.size(), 3);
    }
    return 0;
}
