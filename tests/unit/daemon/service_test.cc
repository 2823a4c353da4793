// The service with a clock, a worker and a builder that the test plays.
#include "daemon/core/service.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "src/common/image/format.h"
#include "src/common/os/sealed_memfd.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_launcher.h"
#include "tests/fakes/fake_policy.h"
#include "tests/fakes/fake_sink.h"
#include "tests/fakes/fake_worker.h"
#include "tests/fakes/tiny_image.h"
#include "tests/unit/daemon/attach_request.h"

namespace pycds::core {
namespace {

using test::attach_request;

using namespace std::string_literals;

constexpr uid_t kDaemon = 500;
constexpr uid_t kAlice = 1000;
constexpr uid_t kBob = 1001;

PeerIdentity peer(uid_t uid) {
    return PeerIdentity{uid, uid, 1};
}

class ServiceTest : public testing::Test {
  protected:
    static ServiceOptions options() {
        ServiceOptions out;
        out.daemon_uid = kDaemon;
        out.pid = 42;
        out.version = "1.2.3";
        out.quotas.builds = {2, 3};
        return out;
    }

    template <typename Expected>
    Expected ask(uid_t uid, const wire::Request& request, std::vector<UniqueFd> fds = {}) {
        std::optional<Reply> reply = service_.handle(peer(uid), request, std::move(fds), sink_);
        EXPECT_TRUE(reply.has_value());
        if (!reply || !std::holds_alternative<Expected>(reply->message)) {
            ADD_FAILURE() << "another reply";
            return {};
        }
        fds_ = std::move(reply->fds);
        return std::get<Expected>(reply->message);
    }

    std::vector<UniqueFd> plan(const std::string& bytes) {
        Result<UniqueFd> fd = create_memfd("plan");
        EXPECT_TRUE(fd.ok());
        EXPECT_EQ(write(fd->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
        std::vector<UniqueFd> out;
        out.push_back(std::move(*fd));
        return out;
    }

    // Asks for a build; it must be accepted.
    std::shared_ptr<fakes::FakeSink> build(uid_t uid, const std::string& paths) {
        auto sink = std::make_shared<fakes::FakeSink>();
        const std::optional<Reply> reply = service_.handle(
            peer(uid), wire::BuildRequest{"/usr/bin/python3", 0}, plan(paths), sink);
        EXPECT_FALSE(reply.has_value());
        worker_.run_all();
        return sink;
    }

    // The image that the builder was asked for last.
    static fakes::TinyImageOptions tiny(const BuilderJob& job) {
        fakes::TinyImageOptions out;
        out.generation = job.generation;
        out.base = image::requested_base_of_slot(job.slot);
        out.first_co_version = image::first_co_version_of_slot(job.slot);
        out.identity.optimize = static_cast<uint8_t>(job.optimize);
        // The first path of the plan is a root, every other one is left out.
        out.paths.emplace();
        out.left_out.clear();
        for (std::string_view rest = job.plan; !rest.empty();) {
            const std::string path(rest.substr(0, rest.find('\0')));
            if (out.paths->empty()) {
                out.paths->push_back(path);
            } else {
                out.left_out.push_back({path, image::LeftOutReason::kNoPyc});
            }
            rest.remove_prefix(path.size() + 1);
        }
        if (job.domain == wire::Domain::kUser) {
            out.domain = image::DomainKind::kUser;
            out.uid = job.domain_uid;
        }
        return out;
    }

    void finish_builder() {
        launcher_.exit_with(fakes::make_tiny_image(tiny(launcher_.started.back().job)));
        worker_.run_all();
    }

    // It makes an image of nothing.
    void finish_builder_with_nothing(image::LeftOutReason reason) {
        fakes::TinyImageOptions options = tiny(launcher_.started.back().job);
        for (const std::string& path : *options.paths) options.left_out.push_back({path, reason});
        options.paths->clear();
        launcher_.exit_with(fakes::make_tiny_image(options));
        worker_.run_all();
    }

    // A system image and one of the daemon's own uid.
    void publish_both() {
        const auto sink = build(kDaemon, "/system/a.py\0/user/b.py\0"s);
        finish_builder();
        finish_builder();
        ASSERT_TRUE(sink->last.has_value());
        ASSERT_TRUE(std::holds_alternative<wire::BuildReply>(sink->last->message));
    }

    static const Error& error_of(const fakes::FakeSink& sink) {
        static const Error none{ErrorCode::kSystem, "(no error)"};
        if (!sink.last) return none;
        const Error* error = std::get_if<Error>(&sink.last->message);
        return error == nullptr ? none : *error;
    }

    fakes::FakeClock clock_;
    fakes::FakeWorker worker_;
    fakes::FakeLauncher launcher_;
    fakes::FakePolicy policy_{kDaemon};
    Service service_{{clock_, worker_, launcher_, policy_}, options()};
    std::shared_ptr<fakes::FakeSink> sink_ = std::make_shared<fakes::FakeSink>();
    std::vector<std::shared_ptr<const UniqueFd>> fds_;
};

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
    const auto alices = build(kAlice, "/system/a1.py\0"s);
    const auto alices_second = build(kAlice, "/system/a2.py\0"s);
    EXPECT_NE(ask<Error>(kAlice, wire::BuildRequest{"/p", 0}, plan("/system/a3\0"s))
                  .message.find("2 builds of uid 1000"),
              std::string::npos);
    const auto bobs = build(kBob, "/system/b.py\0"s);
    ASSERT_EQ(launcher_.started.size(), 1u);
    finish_builder();
    ASSERT_EQ(launcher_.started.size(), 2u);
    EXPECT_EQ(launcher_.started[1].job.plan, "/system/b.py\0"s) << "though Alice's came first";
    const auto roots = build(0, "/system/r.py\0"s);
    ASSERT_EQ(launcher_.started.size(), 3u) << "beside Bob's";
    EXPECT_EQ(launcher_.started[2].job.plan, "/system/r.py\0"s);
    EXPECT_FALSE(alices_second->last.has_value());
    const auto his = ask<wire::StatusReply>(kBob, wire::StatusRequest{});
    EXPECT_EQ(his.builds_running, 1u) << "root's is not his";
    EXPECT_EQ(ask<wire::StatusReply>(kAlice, wire::StatusRequest{}).builds_done, 1u);
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
