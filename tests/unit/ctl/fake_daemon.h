// Something that listens where a daemon would and answers what a test says.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "src/common/os/fd_passing.h"
#include "src/common/os/unique_fd.h"
#include "src/common/wire/framing.h"
#include "src/common/wire/messages.h"

namespace pycds::ctl {

class FakeDaemon {
  public:
    struct Step {
        std::string packet;  // empty: hang up
        int fd = -1;
    };
    // Called for each request; an empty list means silence.
    using Handler = std::function<std::vector<Step>(const wire::Request&, const ReceivedMessage&)>;

    // Peers see `uid`, if that is given, as who listens. For that the caller must be root.
    FakeDaemon(const std::string& path, Handler handler, std::optional<uid_t> uid = {})
        : handler_(std::move(handler)),
          listener_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)),
          stop_(eventfd(0, EFD_CLOEXEC)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        EXPECT_LT(path.size(), sizeof address.sun_path);
        std::memcpy(address.sun_path, path.c_str(), path.size());
        EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        // SO_PEERCRED of those who connect is who we are at listen(2).
        if (uid) become(*uid);
        EXPECT_EQ(listen(listener_.get(), 8), 0);
        if (uid) become(0);
        thread_ = std::thread([this] { serve(); });
    }
    ~FakeDaemon() {
        const uint64_t one = 1;
        EXPECT_EQ(write(stop_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
        thread_.join();
    }
    FakeDaemon(const FakeDaemon&) = delete;
    FakeDaemon& operator=(const FakeDaemon&) = delete;

  private:
    static void become(uid_t uid) { EXPECT_EQ(seteuid(uid), 0); }

    bool readable(int fd) {
        pollfd fds[2] = {{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
        return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
    }

    void serve() {
        while (readable(listener_.get())) {
            const UniqueFd peer(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            while (readable(peer.get()) && answer(peer.get())) {
            }
        }
    }

    bool answer(int peer) {
        std::vector<char> buffer(wire::kMaxMessageSize);
        ReceivedMessage message;
        if (receive_message(peer, buffer.data(), buffer.size(), &message) != IoStatus::kOk) {
            return false;
        }
        const auto request =
            wire::decode_request(std::as_bytes(std::span<const char>(buffer.data(), message.size)));
        if (!request) return false;
        for (const Step& step : handler_(*request, message)) {
            if (step.packet.empty()) return false;
            send_message(peer, step.packet.data(), step.packet.size(), &step.fd,
                         step.fd >= 0 ? 1 : 0);
        }
        return true;
    }

    Handler handler_;
    UniqueFd listener_;
    UniqueFd stop_;
    std::thread thread_;
};

// A handler that gives the same replies to everything.
inline FakeDaemon::Handler always(std::vector<wire::Reply> replies, int fd = -1) {
    return [replies = std::move(replies), fd](const wire::Request&, const ReceivedMessage&) {
        std::vector<FakeDaemon::Step> steps;
        for (const wire::Reply& reply : replies) steps.push_back({wire::encode(reply), fd});
        return steps;
    };
}

}  // namespace pycds::ctl
