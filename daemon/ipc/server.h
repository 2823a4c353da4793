// Accepts connections, bounds them, and lets the service answer.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "daemon/core/service.h"
#include "daemon/ipc/asio_loop.h"
#include "daemon/ipc/connection.h"
#include "daemon/ipc/lingering.h"
#include "daemon/ipc/lockout.h"
#include "daemon/ipc/turns.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ipc {

struct ServerOptions {
    // How long a peer may neither ask nor read.
    std::chrono::milliseconds patience{5000};
    // How long who asks too often may not connect. Short: what he may in that time he does at once when it is
    // over, and whoever has the processor then waits for it.
    std::chrono::milliseconds lockout{100};
};

// Nobody waits long because of another: connections are accepted as they come, each user's requests
// are served in turn with all others', and if there are too many connections (core/accounting.h)
// the one that goes is the most idle of the user with most. Who comes too often is locked out for a while.
class Server {
  public:
    // `listener` is a listening, non-blocking socket that outlives the server.
    Server(AsioLoop& loop, int listener, core::Service& service, ServerOptions options);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    void start();
    void set_options(const ServerOptions& options) { options_ = options; }

    // Closes the listening and all connections; builds that they wait for are cancelled.
    void stop();

    // For Connection: one buffer for all, since a message is decoded before the next is received.
    std::span<std::byte> receive_buffer() { return buffer_; }
    void forget(const std::shared_ptr<Connection>& connection);
    // It has something to read, and gets its turn: not from inside this call.
    void enqueue(std::shared_ptr<Connection> connection);
    bool may_ask(uid_t uid, Connection::Clock::time_point now);
    Lingering& lingering() { return lingering_; }
    // Say in the log that a reply could not have its descriptors; once a minute at most.
    void warn_of_descriptors_on_their_way();
    void warn_of_unread_descriptors(uid_t uid);

  private:
    void wait_for_connections();
    void accept_all();
    void admit(UniqueFd socket);
    // A place for one more connection of this uid, at the cost of one who has more; false if none
    // has.
    bool make_room(uid_t uid);
    void post_turns();
    void take_turns();
    void count_connections();
    void sweep_later();
    void sweep();

    AsioLoop& loop_;
    core::Service& service_;
    ServerOptions options_;
    boost::asio::posix::stream_descriptor listener_;
    boost::asio::steady_timer accept_again_;
    boost::asio::steady_timer sweep_timer_;
    bool sweeping_ = false;
    std::unordered_set<std::shared_ptr<Connection>> connections_;
    Turns<Connection> turns_;
    bool turns_posted_ = false;
    Lingering lingering_;
    Lockout lockout_;
    std::vector<std::byte> buffer_;
    std::optional<Connection::Clock::time_point> last_accept_warning_;
    std::optional<Connection::Clock::time_point> last_descriptor_warning_;
    std::optional<Connection::Clock::time_point> last_lockout_warning_;
};

}  // namespace pycds::ipc
