// Peers, builders and time against the service: an input is a script of steps. Messages go through
// a real socket with descriptors of every kind attached, as the server receives them; a builder
// ends with a good image, a broken one, or an error; time passes; peers go.
//
// Beyond not crashing: what is answered can be encoded, nobody gets what is another user's, and in
// the end no descriptor is left open.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/core/service.h"
#include "src/common/base/log.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/sealed_memfd.h"
#include "src/common/wire/framing.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_launcher.h"
#include "tests/fakes/fake_policy.h"
#include "tests/fakes/fake_sink.h"
#include "tests/fakes/fake_worker.h"
#include "tests/fakes/tiny_image.h"

namespace {

using namespace pycds;

constexpr uid_t kDaemon = 500;
constexpr std::array<uid_t, 4> kUids{0, kDaemon, 1000, 1001};

void require(bool condition) {
    if (!condition) std::abort();
}

// Numbers and bytes from the front of an input; zeros after its end.
class Script {
  public:
    explicit Script(std::span<const uint8_t> bytes) : bytes_(bytes) {}
    bool empty() const { return bytes_.empty(); }
    uint8_t byte() {
        if (bytes_.empty()) return 0;
        const uint8_t value = bytes_[0];
        bytes_ = bytes_.subspan(1);
        return value;
    }
    std::string text(size_t size) {
        size = std::min(size, bytes_.size());
        const std::string out(reinterpret_cast<const char*>(bytes_.data()), size);
        bytes_ = bytes_.subspan(size);
        return out;
    }

  private:
    std::span<const uint8_t> bytes_;
};

UniqueFd memfd_of(std::string_view text) {
    Result<UniqueFd> fd = create_memfd("fuzz");
    require(fd.ok());
    require(write(fd->get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    return std::move(*fd);
}

UniqueFd plan_of(Script& script) {
    std::string text;
    for (int entries = script.byte() % 4; entries >= 0; --entries) {
        text += (script.byte() % 2 != 0 ? "/system/" : "/user/") + script.text(script.byte() % 8);
        text += '\0';
    }
    return memfd_of(text);
}

UniqueFd descriptor(Script& script) {
    switch (script.byte() % 14) {
        case 0:
        case 1: return plan_of(script);
        case 2: {
            UniqueFd fd = plan_of(script);
            require(seal(fd.get()).ok());
            return fd;
        }
        case 3: return memfd_of("");
        case 4: return memfd_of(script.text(script.byte()));
        case 5: {
            UniqueFd fd = memfd_of("/system/a");
            require(ftruncate(fd.get(), off_t{1} << 32) == 0);
            return fd;
        }
        case 6: return UniqueFd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        case 7: return UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC));
        case 8: return UniqueFd(open("/dev/zero", O_RDONLY | O_CLOEXEC));
        case 9: return UniqueFd(open("/etc/passwd", O_PATH | O_CLOEXEC));
        case 10: return UniqueFd(eventfd(0, EFD_CLOEXEC));
        case 11: return UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        case 12: {
            int fds[2];
            require(pipe2(fds, O_CLOEXEC) == 0);
            close(fds[1]);
            return UniqueFd(fds[0]);
        }
        default: return UniqueFd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    }
}

std::string message(Script& script) {
    static const auto identity = fakes::tiny_identity_digest(fakes::tiny_identity(1));
    switch (script.byte() % 9) {
        case 0:
        case 1: {
            wire::AttachRequest request;
            std::copy(identity.begin(), identity.end(), request.identity.begin());
            request.format_version = image::kFormatVersion + (script.byte() == 0xff ? 1 : 0);
            return wire::encode(wire::Request{request});
        }
        case 2:
        case 3: {
            const std::string python = "/usr/bin/p" + script.text(1);
            const unsigned how = script.byte();
            return wire::encode(
                wire::Request{wire::BuildRequest{python, how % 4, false, (how & 0x40) != 0}});
        }
        case 4: return wire::encode(wire::Request{wire::ListRequest{}});
        case 5: return wire::encode(wire::Request{wire::StatusRequest{}});
        case 6:
            return wire::encode(
                wire::Request{wire::DropRequest{"img-" + std::to_string(script.byte() % 8)}});
        case 7:
            return wire::encode(
                wire::Request{wire::FetchRequest{"img-" + std::to_string(script.byte() % 8)}});
        default: return script.text(script.byte());
    }
}

class World {
  public:
    World() {
        core::ServiceOptions options;
        options.daemon_uid = kDaemon;
        options.version = "1";
        options.images.max_bytes = 1 << 20;
        options.images.user_max_bytes = 1 << 17;
        options.images.users_max_bytes = 1 << 18;
        service_.emplace(core::ServiceDependencies{clock_, worker_, launcher_, policy_}, options);
        for (const char c : {'0', '1', '2', '3'}) {
            service_->note_interpreter(std::string("/usr/bin/p") + c);
        }
        for (auto& sink : sinks_) sink = std::make_shared<fakes::FakeSink>();
    }

    void step(Script& script) {
        switch (script.byte() % 8) {
            case 0:
            case 1:
            case 2: return send(script);
            case 3: worker_.run_one(); return;
            case 4: return end_builder(script);
            case 5: clock_.now_ms += uint64_t{script.byte()} * 100; return;
            case 6: return go_away(script.byte() % kUids.size());
            default: worker_.run_all(); return;
        }
    }

  private:
    void send(Script& script) {
        const size_t who = script.byte() % kUids.size();
        std::vector<UniqueFd> fds;
        for (int n = script.byte() % 16; n > 0 && n < 6; --n) fds.push_back(descriptor(script));
        std::vector<int> numbers;
        for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
        const std::string bytes = message(script);
        int ends[2];
        require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        const UniqueFd peer(ends[0]);
        const UniqueFd server(ends[1]);
        if (bytes.empty()) return;
        require(send_message(peer.get(), bytes.data(), bytes.size(), numbers.data(),
                             numbers.size()) == IoStatus::kOk);
        fds.clear();
        std::array<std::byte, wire::kMaxMessageSize> buffer;
        ReceivedMessage received;
        require(receive_message(server.get(), buffer.data(), buffer.size(), &received) ==
                IoStatus::kOk);
        const Result<wire::Request> request =
            wire::decode_request(std::span(buffer).first(received.size));
        if (!request) return;
        std::vector<UniqueFd> passed;
        for (size_t i = 0; i < received.fd_count; ++i) passed.push_back(std::move(received.fds[i]));
        const PeerIdentity identity{kUids[who], kUids[who], 1, script.byte() % 8 == 7};
        const std::optional<core::Reply> reply =
            service_->handle(identity, *request, std::move(passed), sinks_[who]);
        if (reply) check(*reply, identity);
    }

    static void check(const core::Reply& reply, const PeerIdentity& peer) {
        const std::string packet = wire::encode(reply.message);
        require(wire::decode_reply(std::as_bytes(std::span(packet.data(), packet.size()))).ok());
        const bool administrator = !peer.elsewhere && (peer.uid == 0 || peer.uid == kDaemon);
        const auto may_have = [&](const wire::ImageInfo& info, bool also_administrator) {
            require(info.domain != wire::Domain::kUser || info.domain_uid == peer.uid ||
                    (also_administrator && administrator));
        };
        if (const auto* attach = std::get_if<wire::AttachReply>(&reply.message)) {
            require(attach->images.size() == reply.fds.size());
            for (const wire::ImageInfo& info : attach->images) may_have(info, false);
            for (const auto& fd : reply.fds) require(has_image_seals(fd->get()));
        }
        if (const auto* list = std::get_if<wire::ListReply>(&reply.message)) {
            for (const wire::ImageInfo& info : list->images) may_have(info, true);
        }
        if (const auto* fetch = std::get_if<wire::FetchReply>(&reply.message)) {
            may_have(fetch->image, true);
            require(reply.fds.size() == 1 && has_image_seals(reply.fds[0]->get()));
        }
    }

    void end_builder(Script& script) {
        if (launcher_.started.empty() || !*launcher_.started.back().alive) return;
        const core::BuilderJob& job = launcher_.started.back().job;
        if (script.byte() % 4 == 3)
            return launcher_.exit_with(Error{ErrorCode::kBuildFailed, script.text(8)});
        fakes::TinyImageOptions options;
        options.domain = job.domain == wire::Domain::kUser ? image::DomainKind::kUser
                                                           : image::DomainKind::kSystem;
        options.uid = job.domain_uid;
        options.base = image::requested_base_of_slot(job.slot);
        options.first_co_version = image::first_co_version_of_slot(job.slot);
        options.generation = job.generation;
        options.identity.optimize = static_cast<uint8_t>(job.optimize);
        options.paths.emplace();
        options.left_out.clear();
        // Who offers sources may say that any path is his.
        if (job.offered) options.paths->push_back("/system/" + script.text(2));
        for (size_t at = 0; at < job.plan.size(); at = job.plan.find('\0', at) + 1) {
            const std::string path = job.plan.c_str() + at;
            if (std::count(options.paths->begin(), options.paths->end(), path) == 0)
                options.paths->push_back(path);
        }
        std::vector<std::byte> image = fakes::make_tiny_image(options);
        for (int edits = script.byte() % 8; edits > 4; --edits) {
            const size_t at = (size_t{script.byte()} << 8 | script.byte()) * 4 % image.size();
            image[at] ^= static_cast<std::byte>(script.byte());
            fakes::fix_checksums(image);
        }
        launcher_.exit_with(image);
    }

    void go_away(size_t who) {
        service_->peer_gone(*sinks_[who]);
        sinks_[who] = std::make_shared<fakes::FakeSink>();
    }

    fakes::FakeClock clock_;
    fakes::FakeWorker worker_;
    fakes::FakeLauncher launcher_;
    const fakes::FakePolicy policy_{kDaemon};
    std::optional<core::Service> service_;
    std::array<std::shared_ptr<fakes::FakeSink>, kUids.size()> sinks_;
};

int lowest_free_descriptor() {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    set_log_threshold(LogLevel::kError);
    const int before = lowest_free_descriptor();
    {
        World world;
        Script script({data, size});
        for (int steps = 0; steps < 64 && !script.empty(); ++steps) world.step(script);
    }
    require(lowest_free_descriptor() == before);
    return 0;
}
