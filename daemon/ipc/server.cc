#include "daemon/ipc/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "src/common/base/log.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/peer_identity.h"
#include "src/common/wire/framing.h"

namespace pycds::ipc {
namespace {

using boost::asio::posix::stream_descriptor;

// Between two rounds of requests. Many: in the queue of those not yet accepted there are no turns,
// and a full one turns away whoever comes next, whoever has filled it.
constexpr int kAcceptsPerTurn = 256;
// Between two looks at what else has happened.
constexpr int kRequestsPerTurn = 32;
// Out of descriptors or memory: accept(2) would fail at once again.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::minutes kWarningInterval{1};

// What clients cause, many or one that insists, is said once in a while.
bool is_time_to_warn(std::optional<Connection::Clock::time_point>* last) {
    const Connection::Clock::time_point now = Connection::Clock::now();
    if (*last && now - **last < kWarningInterval) return false;
    *last = now;
    return true;
}

}  // namespace

Server::Server(AsioLoop& loop, int listener, core::Service& service, ServerOptions options)
    : loop_(loop),
      service_(service),
      options_(options),
      listener_(loop.context()),
      accept_again_(loop.context()),
      sweep_timer_(loop.context()),
      lingering_(loop),
      lockout_(loop.context(), listener),
      buffer_(wire::kMaxMessageSize) {
    // Nor may who is not accepted yet, whoever it is: what is in the queue of a connection is closed
    // with it.
    let_descriptors_pass(listener, false);
    boost::system::error_code error;
    listener_.assign(listener, error);
    if (error) log_error("cannot watch the listening socket: " + error.message());
    if (!lockout_.possible()) {
        log_notice("who asks too often is turned away, but not locked out: " +
                   lockout_.possible().error().message);
    }
}

Server::~Server() {
    stop();
}

void Server::start() {
    wait_for_connections();
}

void Server::stop() {
    if (listener_.is_open()) listener_.release();
    accept_again_.cancel();
    sweep_timer_.cancel();
    while (!connections_.empty()) {
        const std::shared_ptr<Connection> connection = *connections_.begin();
        connection->close(nullptr);
    }
    turns_.clear();
    lingering_.clear();
    lockout_.clear();
}

void Server::wait_for_connections() {
    if (!listener_.is_open()) return;
    listener_.async_wait(stream_descriptor::wait_read,
                         [this](const boost::system::error_code& error) {
                             if (!error) accept_all();
                         });
}

void Server::accept_all() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
        UniqueFd socket(
            accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (socket) {
            admit(std::move(socket));
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) break;
        const int error = errno;
        if (is_time_to_warn(&last_accept_warning_)) {
            log_warning(std::string("cannot accept connections: ") + std::strerror(error));
        }
        accept_again_.expires_after(kAcceptPause);
        accept_again_.async_wait([this](const boost::system::error_code& error) {
            if (!error) wait_for_connections();
        });
        return take_turns();
    }
    take_turns();
    wait_for_connections();
}

void Server::admit(UniqueFd socket) {
    PeerIdentity peer;
    if (!read_peer_identity(socket.get(), &peer)) return;
    core::Charge place(service_.accounting(), peer.uid, core::Resource::kConnections);
    // Who comes too often costs no more than this.
    if (!may_ask(peer.uid, Connection::Clock::now()) || !make_room(peer.uid) || !place.add(1)) {
        log_debug("connection of uid " + std::to_string(peer.uid) + " refused: too many");
        return;
    }
    const auto connection = std::make_shared<Connection>(*this, loop_.context(), service_,
                                                         std::move(socket), peer, std::move(place));
    connections_.insert(connection);
    count_connections();
    turns_.push(peer.uid, connection);
    sweep_later();
}

bool Server::make_room(uid_t uid) {
    const core::Accounting& accounting = service_.accounting();
    if (!accounting.is_full(core::Resource::kConnections)) return true;
    const std::optional<uid_t> greediest = accounting.greediest(core::Resource::kConnections);
    // One more than another would be the greediest itself.
    if (!greediest || accounting.used(uid, core::Resource::kConnections) + 1 >=
                          accounting.used(*greediest, core::Resource::kConnections)) {
        return false;
    }
    std::shared_ptr<Connection> idlest;
    for (const std::shared_ptr<Connection>& connection : connections_) {
        if (connection->uid() != *greediest || !connection->idle_since()) continue;
        if (!idlest || *connection->idle_since() < *idlest->idle_since()) idlest = connection;
    }
    if (!idlest) return false;
    idlest->close("its uid has most connections, and another needs one");
    return true;
}

bool Server::may_ask(uid_t uid, Connection::Clock::time_point now) {
    const auto since =
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
    if (service_.accounting().spend_request(uid, static_cast<uint64_t>(since.count()))) return true;
    if (is_time_to_warn(&last_lockout_warning_)) {
        log_notice("uid " + std::to_string(uid) +
                   " asks too often (user-requests) and is locked out for a moment, maybe again");
    }
    lockout_.add(uid, options_.lockout);
    return false;
}

void Server::enqueue(std::shared_ptr<Connection> connection) {
    const uid_t uid = connection->uid();
    turns_.push(uid, std::move(connection));
    post_turns();
}

void Server::post_turns() {
    if (turns_posted_) return;
    turns_posted_ = true;
    boost::asio::post(loop_.context(), [this] {
        turns_posted_ = false;
        take_turns();
    });
}

void Server::take_turns() {
    for (int i = 0; i < kRequestsPerTurn && !turns_.empty(); ++i) turns_.pop()->take_turn();
    if (!turns_.empty()) post_turns();
}

void Server::forget(const std::shared_ptr<Connection>& connection) {
    if (connections_.erase(connection) != 0) count_connections();
}

void Server::warn_of_descriptors_on_their_way() {
    if (!is_time_to_warn(&last_descriptor_warning_)) return;
    log_warning(
        "attaching fails: too many descriptors of this uid are on their way to processes that do "
        "not read them; a higher limit of open files (LimitNOFILE) allows more");
}

void Server::warn_of_unread_descriptors(uid_t uid) {
    if (!is_time_to_warn(&last_descriptor_warning_)) return;
    log_warning(
        "processes of uid " + std::to_string(uid) +
        " do not read the descriptors that they have asked for, and get no more until they do");
}

void Server::count_connections() {
    service_.set_connections(connections_.size());
}

// One timer for all connections: one per connection would cost each attach two system calls.
void Server::sweep_later() {
    if (sweeping_ || connections_.empty()) return;
    sweeping_ = true;
    sweep_timer_.expires_after(std::max(options_.patience / 5, std::chrono::milliseconds(1)));
    sweep_timer_.async_wait([this](const boost::system::error_code& error) {
        if (error) return;
        sweeping_ = false;
        sweep();
        sweep_later();
    });
}

void Server::sweep() {
    const Connection::Clock::time_point now = Connection::Clock::now();
    std::vector<std::shared_ptr<Connection>> late;
    for (const std::shared_ptr<Connection>& connection : connections_) {
        if (connection->is_late(now, options_.patience)) late.push_back(connection);
    }
    for (const std::shared_ptr<Connection>& connection : late) {
        connection->close("it neither asked nor read");
    }
}

}  // namespace pycds::ipc
