// One peer. Requests are answered in order; while a build runs, the next ones wait. What it makes
// us keep is charged to its uid (core/accounting.h).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/accounting.h"
#include "daemon/core/reply.h"
#include "daemon/core/service.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/peer_identity.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ipc {

class Server;

class Connection final : public core::ReplySink, public std::enable_shared_from_this<Connection> {
  public:
    using Clock = std::chrono::steady_clock;

    Connection(Server& server, boost::asio::io_context& context, core::Service& service,
               UniqueFd socket, PeerIdentity peer, core::Charge place);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() override;

    // Ends it; what was asked for on it is cancelled. May be called again.
    void close(const char* why);

    // Its turn: serves one request, if there is one, and asks the server for another turn, or
    // waits.
    void take_turn();

    uid_t uid() const { return peer_.uid; }

    // Is the peer late: neither waiting for an answer of ours nor asking for one, or not reading
    // the one it has got?
    bool is_late(Clock::time_point now, std::chrono::milliseconds patience) const {
        return !building_ && now - last_activity_ > patience;
    }
    // When it last asked, or read; nothing while it waits for a build.
    std::optional<Clock::time_point> idle_since() const {
        return building_ ? std::nullopt : std::optional(last_activity_);
    }

    // ReplySink
    void progress(const wire::BuildProgress& progress) override;
    void sources_wanted(UniqueFd socket) override;
    void finish(core::Reply reply) override;

  private:
    struct Asked {
        Result<wire::Request> request;
        std::vector<UniqueFd> fds;
        size_t size = 0;  // bytes
    };
    struct Outgoing {
        std::string packet;
        std::vector<std::shared_ptr<const UniqueFd>> fds;
    };

    void on_writable();
    // False if there was nothing to receive, or the connection is closed now.
    bool receive_one();
    void keep_waiting(Asked asked);
    void serve(Asked asked);
    void serve_waiting();
    void send(core::Reply reply);
    // False if the socket is full. Replaces the message by an error if the kernel lets no more
    // descriptors pass.
    bool try_send(Outgoing& outgoing);
    // Looks whether the peer has read what it was sent, which is charged no longer then.
    void note_what_is_read();
    void wait();
    boost::asio::posix::stream_descriptor& descriptor();

    Server& server_;
    boost::asio::io_context& context_;
    core::Service& service_;
    UniqueFd socket_;
    PeerIdentity peer_;
    const Descriptors descriptors_;
    bool place_is_known_ = false;
    core::Charge place_;
    core::Charge sent_descriptors_;  // not seen to be read
    core::Charge sent_bytes_;
    core::Charge waiting_descriptors_;  // of waiting_
    core::Charge waiting_bytes_;
    // Made when there is something to wait for, which the usual peer (connect, ask, get, close)
    // gives no reason for before its answer is out.
    std::optional<boost::asio::posix::stream_descriptor> descriptor_;
    Clock::time_point last_activity_;
    bool closed_ = false;
    bool building_ = false;
    bool waiting_to_read_ = false;
    bool waiting_to_write_ = false;
    std::deque<Asked> waiting_;
    std::optional<Outgoing> outgoing_;
};

}  // namespace pycds::ipc
