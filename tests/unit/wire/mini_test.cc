// mini.h against the generated code (behind encode and decode), for every message.
#include "src/common/wire/mini.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/wire/samples.h"

namespace pycds::wire {
namespace {

using samples::bytes;

// What a message holds, field by field; of a repeated field the last.
struct Fields {
    std::map<uint32_t, uint64_t> varints;
    std::map<uint32_t, std::string> blocks;
    bool ok = false;
};

Fields read_fields(std::string_view message) {
    Fields out;
    MiniReader reader(message.data(), message.size());
    while (reader.next()) {
        if (reader.bytes() != nullptr) {
            out.blocks[reader.field()] =
                std::string(reinterpret_cast<const char*>(reader.bytes()), reader.size());
        } else {
            out.varints[reader.field()] = reader.varint();
        }
    }
    out.ok = reader.ok();
    return out;
}

// The one message inside a Request or Reply.
Fields read_inner(const std::string& packet, uint32_t field) {
    const Fields outer = read_fields(packet);
    EXPECT_TRUE(outer.ok);
    EXPECT_EQ(outer.blocks.size(), 1u);
    EXPECT_EQ(outer.blocks.count(field), 1u) << "field " << field;
    const auto inner = outer.blocks.find(field);
    return inner == outer.blocks.end() ? Fields{} : read_fields(inner->second);
}

std::string identity_text() {
    const Identity identity = samples::identity();
    return std::string(identity.begin(), identity.end());
}

void expect_image(const std::string& message, const ImageInfo& image) {
    const Fields fields = read_fields(message);
    ASSERT_TRUE(fields.ok);
    EXPECT_EQ(fields.blocks, (std::map<uint32_t, std::string>{
                                 {1, image.id}, {2, identity_text()}, {3, image.python}}));
    EXPECT_EQ(fields.varints,
              (std::map<uint32_t, uint64_t>{{4, image.generation},
                                            {5, static_cast<uint64_t>(image.domain)},
                                            {6, image.domain_uid},
                                            {7, image.size},
                                            {8, image.requested_base},
                                            {9, image.roots},
                                            {10, image.left_out},
                                            {11, image.published_unix_ms},
                                            {12, image.attaches},
                                            {13, image.runtime_base}}));
}

TEST(MiniReader, ReadsEveryRequest) {
    const std::vector<Request> requests = samples::requests();
    const Fields attach = read_inner(encode(requests[0]), 1);
    EXPECT_EQ(attach.blocks.at(1), identity_text());
    EXPECT_EQ(attach.varints.at(2), 1u);
    const Fields build = read_inner(encode(requests[1]), 2);
    EXPECT_EQ(build.blocks.at(1), "/usr/bin/python3.13");
    EXPECT_EQ(build.varints.at(2), 2u);
    EXPECT_TRUE(read_inner(encode(requests[2]), 3).ok);
    EXPECT_TRUE(read_inner(encode(requests[3]), 4).ok);
    EXPECT_EQ(read_inner(encode(requests[4]), 5).blocks.at(1), "img-3");
    EXPECT_EQ(read_inner(encode(requests[5]), 6).blocks.at(1), "img-4");
}

TEST(MiniReader, ReadsEveryReply) {
    const std::vector<Reply> replies = samples::replies();
    const Fields error = read_inner(encode(replies[0]), 1);
    EXPECT_EQ(error.varints.at(1), static_cast<uint64_t>(ErrorCode::kPermissionDenied));
    EXPECT_EQ(error.blocks.at(2), "no");
    expect_image(read_inner(encode(replies[1]), 2).blocks.at(1), samples::image(2));

    const Fields build = read_inner(encode(replies[2]), 3);
    expect_image(build.blocks.at(1), samples::image(3));
    const Fields count = read_fields(build.blocks.at(2));
    EXPECT_EQ(count.blocks.at(1), "no-pyc");
    EXPECT_EQ(count.varints.at(2), 200u);
    EXPECT_EQ(build.varints.at(3), 1234u);

    expect_image(read_inner(encode(replies[3]), 4).blocks.at(1), samples::image(5));
    const Fields status = read_inner(encode(replies[4]), 5);
    EXPECT_EQ(status.blocks.at(1), "0.1.0");
    EXPECT_EQ(status.varints, (std::map<uint32_t, uint64_t>{{2, 4321},
                                                            {3, 99'999'999'999},
                                                            {4, 1},
                                                            {5, 2},
                                                            {6, 3},
                                                            {7, uint64_t{5} << 32},
                                                            {8, 6},
                                                            {9, 7},
                                                            {10, 8},
                                                            {11, 9}}));
    EXPECT_EQ(read_inner(encode(replies[5]), 6).varints.at(1), 6u);
    expect_image(read_inner(encode(replies[6]), 7).blocks.at(1), samples::image(7));
    const Fields progress = read_inner(encode(replies[7]), 8);
    EXPECT_EQ(progress.varints, (std::map<uint32_t, uint64_t>{{1, 8}, {2, 900}}));
}

TEST(MiniReader, EndsAtEveryCutWithoutReadingPastIt) {
    for (const Reply& reply : samples::replies()) {
        const std::string packet = encode(reply);
        for (size_t size = 0; size < packet.size(); ++size) {
            // A copy of its own, so that a sanitizer sees a byte read too many.
            const std::vector<char> cut(packet.begin(), packet.begin() + static_cast<long>(size));
            const Fields fields = read_fields({cut.data(), cut.size()});
            EXPECT_EQ(fields.ok, size == 0) << "a Reply is one field: any cut breaks it";
        }
    }
}

TEST(MiniReader, RefusesWhatProtobufRefuses) {
    for (const std::string& packet : {
             std::string("\x00\x00", 2),              // field 0
             std::string("\x0b"),                     // a group
             std::string("\x0e"),                     // wire type 6
             std::string(11, '\xff'),                 // a varint without end
             std::string("\x0a\xff\xff\xff\xff\x0f")  // longer than the message
         }) {
        EXPECT_FALSE(read_fields(packet).ok);
        EXPECT_EQ(decode_request(bytes(packet)).error().code, ErrorCode::kCorrupt);
    }
}

TEST(MiniWriter, WritesAnAttachAsTheGeneratedCodeDoes) {
    const Identity identity = samples::identity();
    char inner[64];
    MiniWriter attach(inner, sizeof inner);
    attach.bytes_field(1, identity.data(), identity.size());
    attach.varint_field(2, 1);
    ASSERT_TRUE(attach.ok());
    char outer[64];
    MiniWriter request(outer, sizeof outer);
    request.bytes_field(1, inner, attach.size());
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(std::string(outer, request.size()), encode(Request{AttachRequest{identity, 1}}));
}

TEST(MiniWriter, WritesVarintsOfEveryLength) {
    for (unsigned shift = 0; shift < 64; ++shift) {
        const uint64_t value = uint64_t{1} << shift;
        char buffer[16];
        MiniWriter writer(buffer, sizeof buffer);
        writer.varint_field(1, value);
        ASSERT_TRUE(writer.ok());
        const Fields fields = read_fields({buffer, writer.size()});
        EXPECT_EQ(fields.varints.at(1), value);
    }
}

TEST(MiniWriter, RemembersThatTheBufferWasTooSmall) {
    const std::string block(20, 'b');
    for (size_t capacity = 0; capacity < 22; ++capacity) {
        std::vector<char> buffer(capacity);
        MiniWriter writer(buffer.data(), buffer.size());
        writer.bytes_field(1, block.data(), block.size());
        EXPECT_FALSE(writer.ok()) << capacity;
    }
}

}  // namespace
}  // namespace pycds::wire
