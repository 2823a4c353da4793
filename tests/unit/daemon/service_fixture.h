// The service with a clock, a worker and a builder that the test plays.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/service.h"
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

using test::attach_request;

using namespace std::string_literals;

inline constexpr uid_t kDaemon = 500;
inline constexpr uid_t kAlice = 1000;
inline constexpr uid_t kBob = 1001;

inline PeerIdentity peer(uid_t uid) {
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

    // Asks for a build of own sources with the system's interpreter; it must be accepted.
    std::shared_ptr<fakes::FakeSink> build_offered(uid_t uid) {
        service_.note_interpreter("/usr/bin/python3");
        auto sink = std::make_shared<fakes::FakeSink>();
        const std::optional<Reply> reply = service_.handle(peer(uid), offered(), {}, sink);
        EXPECT_FALSE(reply.has_value());
        worker_.run_all();
        return sink;
    }

    static wire::BuildRequest offered(const std::string& python = "/usr/bin/python3",
                                      uint32_t optimize = 0) {
        return wire::BuildRequest{python, optimize, false, true};
    }

    // The builder has got these sources, and makes an image of them.
    void finish_builder_of(const std::vector<std::string>& paths) {
        fakes::TinyImageOptions options = tiny(launcher_.started.back().job);
        options.paths = paths;
        launcher_.exit_with(fakes::make_tiny_image(options));
        worker_.run_all();
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

}  // namespace pycds::core
