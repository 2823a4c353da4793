#include "src/common/wire/messages.h"

#include <gtest/gtest.h>

#include "src/common/wire/framing.h"
#include "src/common/wire/mini.h"
#include "tests/unit/wire/samples.h"

namespace pycds::wire {
namespace {

using samples::bytes;

std::string with_unknown_field(std::string message) {
    char extra[64];
    MiniWriter writer(extra, sizeof extra);
    writer.varint_field(1000, 7);
    writer.bytes_field(1001, "later", 5);
    return message.append(extra, writer.size());
}

TEST(Messages, EveryRequestComesBackAsItWas) {
    for (const Request& request : samples::requests()) {
        const std::string packet = encode(request);
        const Result<Request> decoded = decode_request(bytes(packet));
        ASSERT_TRUE(decoded.ok()) << "request " << request.index();
        EXPECT_EQ(decoded->index(), request.index());
        // Encoding is a function of every field: equal bytes, equal fields.
        EXPECT_EQ(encode(*decoded), packet) << "request " << request.index();
    }
}

TEST(Messages, EveryReplyComesBackAsItWas) {
    for (const Reply& reply : samples::replies()) {
        const std::string packet = encode(reply);
        const Result<Reply> decoded = decode_reply(bytes(packet));
        ASSERT_TRUE(decoded.ok()) << "reply " << reply.index();
        EXPECT_EQ(decoded->index(), reply.index());
        EXPECT_EQ(encode(*decoded), packet) << "reply " << reply.index();
    }
}

TEST(Messages, FieldsOfTheFutureAreIgnored) {
    for (const Request& request : samples::requests()) {
        const Result<Request> decoded = decode_request(bytes(with_unknown_field(encode(request))));
        ASSERT_TRUE(decoded.ok());
        EXPECT_EQ(encode(*decoded), encode(request));
    }
    for (const Reply& reply : samples::replies()) {
        const Result<Reply> decoded = decode_reply(bytes(with_unknown_field(encode(reply))));
        ASSERT_TRUE(decoded.ok());
        EXPECT_EQ(encode(*decoded), encode(reply));
    }
}

TEST(Messages, AnOperationOfTheFutureIsSaidToBeUnknown) {
    const std::string packet = with_unknown_field("");
    EXPECT_EQ(decode_request(bytes(packet)).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(decode_reply(bytes(packet)).error().code, ErrorCode::kInvalidArgument);
}

TEST(Messages, WhatIsNoMessageIsCorrupt) {
    for (const std::string& packet :
         {std::string("\x0a\xff", 2), std::string("\x07"), std::string(100, '\xff')}) {
        EXPECT_EQ(decode_request(bytes(packet)).error().code, ErrorCode::kCorrupt);
        EXPECT_EQ(decode_reply(bytes(packet)).error().code, ErrorCode::kCorrupt);
    }
}

TEST(Messages, EveryCutOfEveryMessageIsHandled) {
    for (const Reply& reply : samples::replies()) {
        const std::string packet = encode(reply);
        for (size_t size = 0; size < packet.size(); ++size) {
            [[maybe_unused]] const Result<Reply> decoded = decode_reply(bytes(packet).first(size));
        }
    }
}

TEST(Messages, AnIdentityHasSixteenBytes) {
    for (const size_t size : {0, 15, 17}) {
        const std::string identity(size, 'i');
        char inner[64];
        MiniWriter attach(inner, sizeof inner);
        attach.bytes_field(1, identity.data(), identity.size());
        char outer[64];
        MiniWriter request(outer, sizeof outer);
        request.bytes_field(1, inner, attach.size());
        EXPECT_EQ(decode_request(std::as_bytes(std::span(outer, request.size()))).error().code,
                  ErrorCode::kInvalidArgument);
    }
}

// A path in an error text may be any bytes; a proto3 string may not, and a peer would refuse the
// whole message.
TEST(Messages, TextThatIsNotUtf8StillArrives) {
    const std::string text = "cannot read /tmp/\xff\xc3/caf\xc3\xa9\xed\xa0\x80";
    const std::string packet = encode(Reply{Error{ErrorCode::kNotFound, text}});
    const Result<Reply> decoded = decode_reply(bytes(packet));
    ASSERT_TRUE(decoded.ok());
    // Not one literal: "??" before '/' is a trigraph.
    const std::string expected = std::string("cannot read /tmp/") + "??" + "/caf\xc3\xa9" + "???";
    EXPECT_EQ(std::get<Error>(*decoded).message, expected);
}

TEST(Messages, ErrorCodesAndDomainsOfTheFutureHaveASafeMeaning) {
    const std::string error = encode(Reply{Error{static_cast<ErrorCode>(77), "something new"}});
    EXPECT_EQ(std::get<Error>(*decode_reply(bytes(error))).code, ErrorCode::kSystem);
    ImageInfo image = samples::image(1);
    image.domain = static_cast<Domain>(9);
    const std::string fetch = encode(Reply{FetchReply{image}});
    EXPECT_EQ(std::get<FetchReply>(*decode_reply(bytes(fetch))).image.domain, Domain::kUnspecified);
}

TEST(Messages, AListOfAsManyImagesAsTheStoreHoldsFitsAMessage) {
    ListReply list;
    for (uint64_t i = 0; i < 128 + 64; ++i) {  // the system's and users': core/image_store.h
        ImageInfo image = samples::image(UINT64_MAX - i);
        image.python = std::string(127, 'p');
        list.images.push_back(image);
    }
    EXPECT_LE(encode(Reply{list}).size(), kMaxMessageSize);
}

}  // namespace
}  // namespace pycds::wire
