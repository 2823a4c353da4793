// Accepts connections, bounds them, and lets the service answer.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "daemon/core/service.h"
#include "daemon/ipc/asio_loop.h"
#include "daemon/ipc/connection.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ipc {

struct ServerLimits {
    size_t connections = 1024;
    size_t connections_per_uid = 256;
    // How long a peer may neither ask nor read.
    std::chrono::milliseconds patience{5000};
};

class Server {
  public:
    // `listener` is a listening, non-blocking socket that outlives the server.
    Server(AsioLoop& loop, int listener, core::Service& service, ServerLimits limits);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    void start();

    // Closes the listening and all connections; builds that they wait for are cancelled.
    void stop();

    // For Connection: one buffer for all, since a message is decoded before the next is received.
    std::span<std::byte> receive_buffer() { return buffer_; }
    void forget(const std::shared_ptr<Connection>& connection);
    // Says in the log that a reply could not have its descriptors; once a minute at most.
    void warn_of_descriptors_on_their_way();

  private:
    void wait_for_connections();
    void accept_all();
    void admit(UniqueFd socket);
    void count_connections();
    void sweep_later();
    void sweep();

    AsioLoop& loop_;
    core::Service& service_;
    const ServerLimits limits_;
    boost::asio::posix::stream_descriptor listener_;
    boost::asio::steady_timer accept_again_;
    boost::asio::steady_timer sweep_timer_;
    bool sweeping_ = false;
    std::unordered_set<std::shared_ptr<Connection>> connections_;
    std::unordered_map<uid_t, size_t> per_uid_;
    std::vector<std::byte> buffer_;
    std::optional<Connection::Clock::time_point> last_accept_warning_;
    std::optional<Connection::Clock::time_point> last_descriptor_warning_;
};

}  // namespace pycds::ipc
