// Builds of what users offer of their own.
#include <filesystem>

#include "tests/unit/daemon/service_fixture.h"

namespace pycds::core {
namespace {

class OfferedBuild : public ServiceTest {};

TEST_F(OfferedBuild, AUserHasAnImageOfWhatHeOffers) {
    const auto sink = build_offered(kAlice);
    EXPECT_TRUE(sink->sources) << "the way to the builder";
    ASSERT_EQ(launcher_.started.size(), 1u);
    const BuilderJob& job = launcher_.started[0].job;
    EXPECT_TRUE(job.offered);
    EXPECT_TRUE(job.plan.empty());
    EXPECT_EQ(job.domain, wire::Domain::kUser);
    EXPECT_EQ(job.domain_uid, kAlice);
    launcher_.started[0].callbacks.on_progress(64, 70);
    ASSERT_EQ(sink->progresses.size(), 1u);
    EXPECT_EQ(sink->progresses[0].total, 70u) << "nobody else knows";
    finish_builder_of({"/home/alice/a.py", "/system/json.py"});
    ASSERT_TRUE(sink->last && std::holds_alternative<wire::BuildReply>(sink->last->message));

    EXPECT_EQ(ask<wire::AttachReply>(kAlice, attach_request()).images.size(), 1u);
    for (const uid_t other : {kBob, uid_t{0}, kDaemon}) {
        EXPECT_TRUE(ask<wire::AttachReply>(other, attach_request()).images.empty());
    }
    EXPECT_TRUE(ask<wire::ListReply>(kBob, wire::ListRequest{}).images.empty());
    EXPECT_EQ(ask<wire::ListReply>(0, wire::ListRequest{}).images.size(), 1u);
    EXPECT_EQ(ask<wire::DropReply>(kAlice, wire::DropRequest{"all"}).dropped, 1u);
}

TEST_F(OfferedBuild, WhatIsOfferedIsBuiltOnlyWithTheSystemsInterpreters) {
    const auto refusal = [&](uid_t uid, const wire::BuildRequest& request) {
        return ask<Error>(uid, request).code;
    };
    EXPECT_EQ(refusal(kAlice, offered()), ErrorCode::kPermissionDenied) << "none is known yet";
    const auto roots = build(0, "/system/a.py\0"s);
    finish_builder();
    // By now one is, without its links.
    std::error_code ignored;
    const std::string known = std::filesystem::canonical("/usr/bin/python3", ignored);
    service_.note_interpreter("/opt/python3");
    EXPECT_EQ(refusal(kAlice, offered("/home/alice/python3")), ErrorCode::kPermissionDenied);
    EXPECT_EQ(refusal(kAlice, offered("/opt/python3", 3)), ErrorCode::kInvalidArgument);
    EXPECT_EQ(refusal(65534, offered("/opt/python3")), ErrorCode::kPermissionDenied);
    if (!known.empty()) {
        EXPECT_FALSE(service_.handle(peer(kAlice), offered(known), {}, sink_).has_value());
    }
}

TEST_F(OfferedBuild, UsersBuildsCanBeSwitchedOff) {
    service_.note_interpreter("/usr/bin/python3");
    ImageLimits limits = service_.images().limits();
    limits.user_max_bytes = 0;
    service_.images().set_limits(limits);
    const Error refused = ask<Error>(kAlice, offered());
    EXPECT_EQ(refused.code, ErrorCode::kPermissionDenied);
    EXPECT_NE(refused.message.find("user-image-budget"), std::string::npos);
}

TEST_F(OfferedBuild, AnOfferedImageThatIsNotTheUsersIsNotPublished) {
    const auto sink = build_offered(kAlice);
    fakes::TinyImageOptions options = tiny(launcher_.started.back().job);
    options.uid = kBob;
    options.paths = {"/home/alice/a.py"};
    launcher_.exit_with(fakes::make_tiny_image(options));
    worker_.run_all();
    EXPECT_EQ(error_of(*sink).code, ErrorCode::kBuildFailed);
    EXPECT_TRUE(ask<wire::AttachReply>(kBob, attach_request()).images.empty());
}

TEST_F(OfferedBuild, AnOfferedBuildDiesWithItsConnection) {
    const auto sink = build_offered(kAlice);
    service_.peer_gone(*sink);
    EXPECT_FALSE(*launcher_.started[0].alive);
    EXPECT_FALSE(sink->last.has_value());
}

}  // namespace
}  // namespace pycds::core
