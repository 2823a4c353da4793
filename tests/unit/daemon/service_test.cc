// What the service answers.
#include "tests/unit/daemon/service_fixture.h"

namespace pycds::core {
namespace {

TEST_F(ServiceTest, WithoutImagesAnAttachIsAnsweredWithNone) {
    EXPECT_TRUE(ask<wire::AttachReply>(kAlice, attach_request()).images.empty());
    const auto status = ask<wire::StatusReply>(kAlice, wire::StatusRequest{});
    EXPECT_EQ(status.attaches, 1u);
    EXPECT_EQ(status.attach_misses, 1u);
    EXPECT_EQ(status.pid, 42u);
    EXPECT_EQ(status.version, "1.2.3");
}

TEST_F(ServiceTest, ABuildPublishesWhatTheBuilderMade) {
    const auto sink =
        build(kDaemon, "/system/a.py\0/user/b.py\0/other/c.py\0/other/d.py\0/system/e.py\0"s);
    ASSERT_EQ(launcher_.started.size(), 1u);
    const BuilderJob system = launcher_.started[0].job;
    EXPECT_EQ(system.python, "/usr/bin/python3");
    EXPECT_EQ(system.slot, 0u);
    EXPECT_EQ(system.domain, wire::Domain::kSystem);
    EXPECT_EQ(system.plan, "/system/a.py\0/system/e.py\0"s);
    finish_builder();
    ASSERT_EQ(launcher_.started.size(), 2u);
    EXPECT_FALSE(*launcher_.started[0].alive) << "the first builder is let go of";
    const BuilderJob user = launcher_.started[1].job;
    EXPECT_EQ(user.slot, 1u);
    EXPECT_EQ(user.domain, wire::Domain::kUser);
    EXPECT_EQ(user.domain_uid, kDaemon);
    EXPECT_GT(user.generation, system.generation);
    EXPECT_FALSE(sink->last.has_value());
    EXPECT_EQ(service_.images().size(), 0u) << "both are published together";
    clock_.now_ms += 1500;
    finish_builder();

    ASSERT_TRUE(sink->last.has_value());
    const auto& reply = std::get<wire::BuildReply>(sink->last->message);
    ASSERT_EQ(reply.images.size(), 2u);
    EXPECT_EQ(reply.images[0].domain, wire::Domain::kSystem);
    EXPECT_EQ(reply.images[1].domain, wire::Domain::kUser);
    EXPECT_EQ(reply.milliseconds, 1500u);
    ASSERT_EQ(reply.left_out.size(), 2u);
    EXPECT_EQ(reply.left_out[0].reason, "not-trusted") << "counted, in no image";
    EXPECT_EQ(reply.left_out[0].count, 2u);
    EXPECT_EQ(reply.left_out[1].reason, "no-pyc");
    EXPECT_EQ(reply.left_out[1].count, 1u);
    EXPECT_EQ(reply.images[0].left_out, 1u);
    const auto status = ask<wire::StatusReply>(0, wire::StatusRequest{});
    EXPECT_EQ(status.builds_done, 1u);
    EXPECT_EQ(status.builds_running, 0u);
    EXPECT_EQ(status.images, 2u);
    EXPECT_EQ(status.image_bytes, reply.images[0].size + reply.images[1].size);
}

TEST_F(ServiceTest, AnAttachGetsTheSystemsImageAndItsOwn) {
    publish_both();
    const auto own = ask<wire::AttachReply>(kDaemon, attach_request());
    ASSERT_EQ(own.images.size(), 2u);
    ASSERT_EQ(fds_.size(), 2u);
    EXPECT_EQ(own.images[0].domain, wire::Domain::kSystem);
    EXPECT_TRUE(has_image_seals(fds_[0]->get()));
    for (const uid_t stranger : {uid_t{0}, kAlice}) {
        const auto others = ask<wire::AttachReply>(stranger, attach_request());
        ASSERT_EQ(others.images.size(), 1u) << stranger;
        ASSERT_EQ(fds_.size(), 1u);
        EXPECT_EQ(others.images[0].domain, wire::Domain::kSystem);
    }
}

TEST_F(ServiceTest, AnAttachOfAnotherFormatOrInterpreterGetsNone) {
    publish_both();
    wire::AttachRequest other_format = attach_request();
    ++other_format.format_version;
    EXPECT_TRUE(ask<wire::AttachReply>(kDaemon, other_format).images.empty());
    wire::AttachRequest other_python = attach_request();
    other_python.identity[3] ^= 1;
    EXPECT_TRUE(ask<wire::AttachReply>(kDaemon, other_python).images.empty());
    EXPECT_TRUE(fds_.empty());
}

TEST_F(ServiceTest, AListShowsWhatThePeerMayKnow) {
    publish_both();
    EXPECT_EQ(ask<wire::ListReply>(0, wire::ListRequest{}).images.size(), 2u);
    EXPECT_EQ(ask<wire::ListReply>(kDaemon, wire::ListRequest{}).images.size(), 2u);
    EXPECT_EQ(ask<wire::ListReply>(kAlice, wire::ListRequest{}).images.size(), 1u);
}

TEST_F(ServiceTest, AUserIsToldOnlyOfHimself) {
    publish_both();
    for (int i = 0; i < 3; ++i) ask<wire::AttachReply>(kBob, attach_request());
    const auto attached = ask<wire::AttachReply>(kAlice, attach_request());
    EXPECT_EQ(attached.images.at(0).attaches, 0u);
    EXPECT_EQ(ask<wire::ListReply>(kAlice, wire::ListRequest{}).images.at(0).attaches, 0u);
    EXPECT_EQ(ask<wire::ListReply>(0, wire::ListRequest{}).images.at(0).attaches, 4u);
    const auto hers = ask<wire::StatusReply>(kAlice, wire::StatusRequest{});
    EXPECT_EQ(hers.attaches, 1u);
    EXPECT_EQ(hers.images, 1u) << "the system's";
    EXPECT_EQ(hers.builds_done, 0u);
    service_.set_connections(77);
    EXPECT_EQ(ask<wire::StatusReply>(kAlice, wire::StatusRequest{}).connections, 0u);
    const auto all = ask<wire::StatusReply>(0, wire::StatusRequest{});
    EXPECT_EQ(all.attaches, 4u);
    EXPECT_EQ(all.images, 2u);
    EXPECT_EQ(all.builds_done, 1u);
    EXPECT_EQ(all.connections, 77u);
    EXPECT_LT(hers.image_bytes, all.image_bytes);
}

TEST_F(ServiceTest, FetchGivesTheDescriptorToWhoMayHaveIt) {
    publish_both();
    EXPECT_EQ(ask<wire::FetchReply>(kAlice, wire::FetchRequest{"img-1"}).image.id, "img-1");
    ASSERT_EQ(fds_.size(), 1u);
    EXPECT_EQ(ask<wire::FetchReply>(0, wire::FetchRequest{"img-2"}).image.id, "img-2");
    const Error hidden = ask<Error>(kAlice, wire::FetchRequest{"img-2"});
    const Error missing = ask<Error>(kAlice, wire::FetchRequest{"img-7"});
    EXPECT_EQ(hidden.code, ErrorCode::kNotFound);
    EXPECT_EQ(missing.message, "no image named img-7; pycdsctl list shows them");
    EXPECT_EQ(hidden.message, "no image named img-2; pycdsctl list shows them");
    EXPECT_TRUE(fds_.empty());
}

TEST_F(ServiceTest, DropForgetsWhatThePeerMayDrop) {
    publish_both();
    EXPECT_EQ(ask<Error>(kAlice, wire::DropRequest{"img-1"}).code, ErrorCode::kPermissionDenied);
    EXPECT_EQ(ask<Error>(kAlice, wire::DropRequest{"img-2"}).code, ErrorCode::kNotFound);
    EXPECT_EQ(ask<wire::DropReply>(kAlice, wire::DropRequest{"all"}).dropped, 0u);
    EXPECT_EQ(ask<wire::DropReply>(kDaemon, wire::DropRequest{"img-2"}).dropped, 1u);
    EXPECT_EQ(ask<wire::DropReply>(0, wire::DropRequest{"all"}).dropped, 1u);
    EXPECT_EQ(service_.images().size(), 0u);
}

TEST_F(ServiceTest, AnImageInAReplyOutlivesItsDropping) {
    publish_both();
    std::optional<Reply> reply = service_.handle(peer(kAlice), attach_request(), {}, sink_);
    ask<wire::DropReply>(0, wire::DropRequest{"all"});
    EXPECT_TRUE(has_image_seals(reply->fds.at(0)->get()));
}

TEST_F(ServiceTest, ABuildNeedsAPermittedPeerAndAPlan) {
    const wire::BuildRequest request{"/usr/bin/python3", 0};
    EXPECT_EQ(ask<Error>(kAlice, request, plan("/system/a\0"s)).code, ErrorCode::kPermissionDenied);
    EXPECT_EQ(ask<Error>(0, request).code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(ask<Error>(0, request, plan("")).message, "the plan names no source file");
    EXPECT_EQ(ask<Error>(0, wire::BuildRequest{"/p", 3}, plan("/system/a\0"s)).message,
              "no such optimisation level: 3");
    std::vector<UniqueFd> two = plan("/system/a\0"s);
    two.push_back(UniqueFd(dup(two[0].get())));
    EXPECT_EQ(ask<Error>(0, request, std::move(two)).code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(launcher_.started.empty());
}

TEST_F(ServiceTest, ABuildOfNothingThatMayBeSharedIsRefused) {
    const auto sink = build(0, "/other/a.py\0/other/b.py\0"s);
    EXPECT_EQ(error_of(*sink).code, ErrorCode::kInvalidArgument);
    EXPECT_NE(error_of(*sink).message.find("/other/a.py"), std::string::npos);
    EXPECT_TRUE(launcher_.started.empty());
}

TEST_F(ServiceTest, AnInterpreterThatThePolicyRefusesIsNotRun) {
    auto sink = std::make_shared<fakes::FakeSink>();
    EXPECT_FALSE(service_.handle(peer(0), wire::BuildRequest{"/refused/python3", 0},
                                 plan("/system/a.py\0"s), sink));
    worker_.run_all();
    EXPECT_EQ(error_of(*sink).code, ErrorCode::kPermissionDenied);
    EXPECT_TRUE(launcher_.started.empty());
}

TEST_F(ServiceTest, AnImageOfNothingIsNotPublished) {
    publish_both();
    const auto sink = build(0, "/system/a.py\0/system/b.py\0/other/c.py\0"s);
    finish_builder_with_nothing(image::LeftOutReason::kPycCorrupt);
    EXPECT_EQ(error_of(*sink).code, ErrorCode::kBuildFailed);
    EXPECT_EQ(error_of(*sink).message,
              "none of the 3 sources can be archived: not-trusted 1, no-pyc 1, pyc-corrupt 1");
    EXPECT_EQ(ask<wire::AttachReply>(kAlice, attach_request()).images.at(0).id, "img-1");
}

TEST_F(ServiceTest, APartOfNothingDoesNotKeepTheOther) {
    publish_both();
    const auto sink = build(kDaemon, "/system/a.py\0/user/b.py\0"s);
    finish_builder_with_nothing(image::LeftOutReason::kPycStale);
    finish_builder();
    ASSERT_TRUE(sink->last.has_value());
    const auto* reply = std::get_if<wire::BuildReply>(&sink->last->message);
    ASSERT_NE(reply, nullptr);
    ASSERT_EQ(reply->images.size(), 1u);
    EXPECT_EQ(reply->images[0].domain, wire::Domain::kUser);
    ASSERT_EQ(reply->left_out.size(), 1u);
    EXPECT_EQ(reply->left_out[0].reason, "pyc-stale");
    const auto attached = ask<wire::AttachReply>(kDaemon, attach_request());
    ASSERT_EQ(attached.images.size(), 2u);
    EXPECT_EQ(attached.images[0].id, "img-1") << "the good one stays";
    EXPECT_EQ(attached.images[1].id, reply->images[0].id);
}

TEST_F(ServiceTest, AFailedBuildLeavesTheOldImage) {
    publish_both();
    const auto sink = build(0, "/system/a.py\0"s);
    launcher_.exit_with(Error{ErrorCode::kBuildFailed, "the builder failed: oops"});
    EXPECT_EQ(error_of(*sink).message, "the builder failed: oops");
    EXPECT_EQ(service_.images().size(), 2u);
    const auto invalid = build(0, "/system/a.py\0"s);
    launcher_.exit_with(std::vector<std::byte>(4096));
    worker_.run_all();
    EXPECT_EQ(error_of(*invalid).code, ErrorCode::kBuildFailed);
    launcher_.refusal = Error{ErrorCode::kNotFound, "no such interpreter: /x"};
    EXPECT_EQ(error_of(*build(0, "/system/a.py\0"s)).message, "no such interpreter: /x");
    EXPECT_EQ(ask<wire::StatusReply>(0, wire::StatusRequest{}).builds_failed, 3u);
    EXPECT_EQ(ask<wire::AttachReply>(kAlice, attach_request()).images.size(), 1u);
}

TEST_F(ServiceTest, ProgressIsPassedOnNowAndThenAndNeverBeyondTheEnd) {
    const auto sink = build(0, "/system/a.py\0/system/b.py\0"s);
    const auto progress = launcher_.started[0].callbacks.on_progress;
    progress(1, 2);
    progress(2, 2);
    EXPECT_EQ(sink->progresses.size(), 1u) << "too soon";
    clock_.now_ms += 1000;
    progress(4'000'000'000, 1);
    ASSERT_EQ(sink->progresses.size(), 2u);
    EXPECT_EQ(sink->progresses[1].done, 2u);
    EXPECT_EQ(sink->progresses[1].total, 2u);
}

TEST_F(ServiceTest, BuildsRunOneAfterTheOther) {
    const auto first = build(0, "/system/a.py\0"s);
    const auto second = build(0, "/system/b.py\0"s);
    const auto third = build(0, "/system/c.py\0"s);
    EXPECT_EQ(launcher_.started.size(), 1u);
    EXPECT_EQ(ask<Error>(0, wire::BuildRequest{"/p", 0}, plan("/system/d\0"s)).code,
              ErrorCode::kUnavailable);
    finish_builder();
    EXPECT_TRUE(first->last.has_value());
    ASSERT_EQ(launcher_.started.size(), 2u);
    EXPECT_EQ(launcher_.started[1].job.plan, "/system/b.py\0"s);
    EXPECT_EQ(ask<wire::StatusReply>(0, wire::StatusRequest{}).builds_running, 1u);
}

TEST_F(ServiceTest, UsersTakeTurnsAndRootsBuildsWaitForNobody) {
    policy_.everybody_builds = true;
    QuotaLimits limits = options().quotas;
    limits.builds = {2, 9};
    service_.accounting().set_limits(limits);
    const auto ask_for = [&](uid_t uid, const std::string& path) {
        return build(uid, path + std::string(1, '\0'));
    };
    const auto paths = [&] {
        std::vector<std::string> out;
        for (const auto& started : launcher_.started) out.emplace_back(started.job.plan.c_str());
        return out;
    };
    const auto alices = ask_for(kAlice, "/system/a1");
    const auto alices_second = ask_for(kAlice, "/system/a2");
    EXPECT_NE(ask<Error>(kAlice, wire::BuildRequest{"/p", 0}, plan("/system/a3\0"s))
                  .message.find("2 builds of uid 1000"),
              std::string::npos);
    const auto bobs = ask_for(kBob, "/system/b");
    using Paths = std::vector<std::string>;
    EXPECT_EQ(paths(), (Paths{"/system/a1", "/system/b"})) << "one of each";
    const auto third = ask_for(1002, "/system/c");
    const auto fourth = ask_for(1003, "/system/d");
    const auto fifth = ask_for(1004, "/system/e");
    EXPECT_EQ(paths().size(), BuildQueue::kUsersAtOnce);
    const auto roots = ask_for(0, "/system/r");
    ASSERT_EQ(paths().size(), 5u) << "beside all";
    EXPECT_EQ(paths().back(), "/system/r");
    EXPECT_EQ(ask<wire::StatusReply>(kBob, wire::StatusRequest{}).builds_running, 1u)
        << "others' are not his";
    const auto alices_ends = launcher_.started[0].callbacks.on_exit;
    alices_ends(Error{ErrorCode::kBuildFailed, "no"});
    worker_.run_all();
    ASSERT_EQ(paths().size(), 6u);
    EXPECT_EQ(paths().back(), "/system/e") << "though Alice's came first";
    EXPECT_TRUE(alices->last.has_value());
    EXPECT_FALSE(alices_second->last.has_value());
    EXPECT_EQ(ask<wire::StatusReply>(kAlice, wire::StatusRequest{}).builds_failed, 1u);
}

TEST_F(ServiceTest, WhoAsksForMostBuildsGivesWayToAnother) {
    policy_.everybody_builds = true;
    const auto running = build(kAlice, "/system/a1.py\0"s);
    const auto waiting = build(kAlice, "/system/a2.py\0"s);
    const auto roots = build(0, "/system/r.py\0"s);
    const auto bobs = build(kBob, "/system/b.py\0"s);  // there are three places
    EXPECT_EQ(error_of(*waiting).code, ErrorCode::kUnavailable);
    EXPECT_FALSE(running->last.has_value());
    EXPECT_FALSE(roots->last.has_value());
    // All have one now: nobody gives way.
    EXPECT_EQ(ask<Error>(1002, wire::BuildRequest{"/p", 0}, plan("/system/c\0"s)).code,
              ErrorCode::kUnavailable);
}

TEST_F(ServiceTest, BuildsAMinuteAreLimitedButForRoot) {
    policy_.everybody_builds = true;
    for (int i = 0; i < 6; ++i) {
        const auto sink = build(kAlice, "/system/a.py\0"s);
        finish_builder();
        ASSERT_TRUE(sink->last.has_value());
    }
    EXPECT_NE(ask<Error>(kAlice, wire::BuildRequest{"/p", 0}, plan("/system/a\0"s))
                  .message.find("user-builds"),
              std::string::npos);
    clock_.now_ms += 10'000;
    build(kAlice, "/system/a.py\0"s);
    for (int i = 0; i < 20; ++i) {
        build(0, "/system/a.py\0"s);
        launcher_.exit_with(fakes::make_tiny_image(tiny(launcher_.started.back().job)));
        worker_.run_all();
    }
}

TEST_F(ServiceTest, ABuildDiesWithItsConnection) {
    const auto first = build(0, "/system/a.py\0"s);
    const auto second = build(0, "/system/b.py\0"s);
    const auto third = build(0, "/system/c.py\0"s);
    service_.peer_gone(*second);
    service_.peer_gone(*first);
    EXPECT_FALSE(*launcher_.started[0].alive) << "the builder is killed";
    worker_.run_all();
    ASSERT_EQ(launcher_.started.size(), 2u) << "the next one starts, the cancelled one does not";
    EXPECT_EQ(launcher_.started[1].job.plan, "/system/c.py\0"s);
    finish_builder();
    EXPECT_FALSE(first->last.has_value());
    EXPECT_FALSE(second->last.has_value());
    EXPECT_TRUE(third->last.has_value());
}

TEST_F(ServiceTest, ABuildCancelledWhileItsImageIsCheckedPublishesNothing) {
    const auto sink = build(0, "/system/a.py\0"s);
    launcher_.exit_with(fakes::make_tiny_image(tiny(launcher_.started.back().job)));
    service_.peer_gone(*sink);
    worker_.run_all();
    EXPECT_EQ(service_.images().size(), 0u);
    EXPECT_FALSE(sink->last.has_value());
}

TEST_F(ServiceTest, ShutdownKillsBuilders) {
    build(0, "/system/a.py\0"s);
    build(0, "/system/b.py\0"s);
    service_.cancel_builds();
    worker_.run_all();
    EXPECT_EQ(launcher_.started.size(), 1u);
    EXPECT_FALSE(*launcher_.started[0].alive);
}

TEST_F(ServiceTest, EverybodyGetsTheCommonAddress) {
    service_.set_common_base(image::kCommonBaseBegin);
    EXPECT_EQ(ask<wire::LayoutReply>(kAlice, wire::LayoutRequest{}).common_base,
              image::kCommonBaseBegin);
    EXPECT_EQ(ask<wire::LayoutReply>(kDaemon, wire::LayoutRequest{}).common_base,
              image::kCommonBaseBegin);
}

TEST_F(ServiceTest, ImagesWithHashesNeedASeedAndEndWithTheBoot) {
    const wire::BuildRequest request{"/usr/bin/python3", 0, false, false, true};
    const std::optional<Reply> refused =
        service_.handle(peer(kDaemon), request, plan("/user/a.py\0"s), sink_);
    ASSERT_TRUE(refused);
    EXPECT_EQ(std::get<Error>(refused->message).code, ErrorCode::kUnavailable);
    service_.set_hash_seed(77);
    EXPECT_EQ(ask<wire::LayoutReply>(kAlice, wire::LayoutRequest{}).hash_seed, 77u);
    build(kDaemon, "/user/a.py\0"s);
    EXPECT_EQ(launcher_.started.back().job.hash_seed, 0u);
    finish_builder();
    service_.handle(peer(kDaemon), request, plan("/user/a.py\0"s), sink_);
    worker_.run_all();
    EXPECT_EQ(launcher_.started.back().job.hash_seed, 77u);
    finish_builder();
    ASSERT_EQ(service_.images().size(), 1u);
    EXPECT_TRUE(service_.images().all().front()->ends_with_boot);
}

TEST_F(ServiceTest, OnlyAnImageForRunIsMadeForTheCommonAddress) {
    service_.set_common_base(image::kCommonBaseBegin);
    build(kDaemon, "/user/a.py\0"s);
    EXPECT_EQ(launcher_.started.back().job.common_base, 0u);
    finish_builder();
    service_.handle(peer(kDaemon), wire::BuildRequest{"/usr/bin/python3", 0, true},
                    plan("/user/a.py\0"s), sink_);
    worker_.run_all();
    EXPECT_EQ(launcher_.started.back().job.common_base, image::kCommonBaseBegin);
}

}  // namespace
}  // namespace pycds::core
