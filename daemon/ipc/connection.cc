#include "daemon/ipc/connection.h"

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "daemon/ipc/server.h"
#include "src/common/base/log.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/peer_place.h"
#include "src/common/wire/framing.h"

namespace pycds::ipc {
namespace {

using boost::asio::posix::stream_descriptor;

// Requests that a peer may send ahead of the answer to its first.
constexpr size_t kMaxAhead = 4;
// What a message costs the kernel beside its bytes, or us while it waits. About.
constexpr size_t kMessageOverhead = 1024;

}  // namespace

Connection::Connection(Server& server, boost::asio::io_context& context, core::Service& service,
                       UniqueFd socket, PeerIdentity peer, core::Charge place)
    : server_(server),
      context_(context),
      service_(service),
      socket_(std::move(socket)),
      peer_(peer),
      descriptors_(service.takes_descriptors(peer.uid) ? Descriptors::kTake : Descriptors::kDrop),
      place_(std::move(place)),
      sent_descriptors_(service.accounting(), peer.uid, core::Resource::kDescriptors),
      sent_bytes_(service.accounting(), peer.uid, core::Resource::kBytes),
      waiting_descriptors_(service.accounting(), peer.uid, core::Resource::kDescriptors),
      waiting_bytes_(service.accounting(), peer.uid, core::Resource::kBytes),
      last_activity_(Clock::now()) {
    if (descriptors_ == Descriptors::kTake) let_descriptors_pass(socket_.get(), true);
}

Connection::~Connection() {
    if (descriptor_ && descriptor_->is_open()) descriptor_->release();
}

void Connection::close(const char* why) {
    if (closed_) return;
    closed_ = true;
    if (why != nullptr) {
        log_debug("connection of uid " + std::to_string(peer_.uid) + ", pid " +
                  std::to_string(peer_.pid) + " closed: " + why);
    }
    const std::shared_ptr<Connection> self = shared_from_this();
    if (descriptor_ && descriptor_->is_open()) descriptor_->release();
    shutdown(socket_.get(), SHUT_RDWR);
    waiting_.clear();
    waiting_descriptors_.clear();
    waiting_bytes_.clear();
    outgoing_.reset();
    note_what_is_read();
    if (sent_bytes_.amount() != 0) {
        server_.lingering().add(std::move(socket_), std::move(sent_descriptors_),
                                std::move(sent_bytes_));
    }
    place_.clear();
    service_.peer_gone(*this);
    server_.forget(self);
}

stream_descriptor& Connection::descriptor() {
    if (!descriptor_) {
        descriptor_.emplace(context_);
        boost::system::error_code error;
        descriptor_->assign(socket_.get(), error);
        if (error) log_error("cannot watch a connection: " + error.message());
    }
    return *descriptor_;
}

// Reading goes on during a build, so that the end of the peer is seen; it stops while an answer
// is stuck, so that a peer that does not read cannot make us work.
void Connection::wait() {
    if (closed_) return;
    if (!descriptor().is_open()) return close("it cannot be watched");
    if (outgoing_ && !waiting_to_write_) {
        waiting_to_write_ = true;
        descriptor().async_wait(
            stream_descriptor::wait_write,
            [self = shared_from_this()](const boost::system::error_code& error) {
                self->waiting_to_write_ = false;
                if (!error && !self->closed_) self->on_writable();
            });
    } else if (!outgoing_ && !waiting_to_read_) {
        waiting_to_read_ = true;
        descriptor().async_wait(
            stream_descriptor::wait_read,
            [self = shared_from_this()](const boost::system::error_code& error) {
                self->waiting_to_read_ = false;
                // Not at once: others may have become readable in the same moment.
                if (!error && !self->closed_) self->server_.enqueue(self);
            });
    }
}

void Connection::take_turn() {
    if (closed_) return;
    if (!outgoing_ && receive_one()) return server_.enqueue(shared_from_this());
    wait();
}

bool Connection::receive_one() {
    ReceivedMessage message;
    const std::span<std::byte> buffer = server_.receive_buffer();
    switch (receive_message(socket_.get(), buffer.data(), buffer.size(), &message, 0,
                            descriptors_)) {
        case IoStatus::kOk: break;
        case IoStatus::kAgain: return false;
        case IoStatus::kClosed: close(nullptr); return false;
        case IoStatus::kTruncated: close("a message that is too large"); return false;
        case IoStatus::kError: close(std::strerror(errno)); return false;
    }
    last_activity_ = Clock::now();
    if (!server_.may_ask(peer_.uid, last_activity_)) {
        close("it asks too often");
        return false;
    }
    Asked asked{wire::decode_request(buffer.first(message.size)), {}, message.size};
    for (size_t i = 0; i < message.fd_count; ++i) {
        asked.fds.push_back(std::move(message.fds[i]));
    }
    if (!asked.request && asked.request.error().code == ErrorCode::kCorrupt) {
        close("bytes that are no message");
        return false;
    }
    if (building_) {
        keep_waiting(std::move(asked));
    } else {
        serve(std::move(asked));
    }
    return !closed_;
}

void Connection::keep_waiting(Asked asked) {
    if (waiting_.size() == kMaxAhead) return close("too many requests ahead of the answer");
    if (!waiting_bytes_.add(asked.size + kMessageOverhead) ||
        !waiting_descriptors_.add(asked.fds.size())) {
        return close("its uid has too many requests waiting");
    }
    waiting_.push_back(std::move(asked));
}

void Connection::note_what_is_read() {
    if (sent_bytes_.amount() == 0 || has_unread(socket_.get())) return;
    sent_bytes_.clear();
    sent_descriptors_.clear();
}

void Connection::serve(Asked asked) {
    note_what_is_read();
    // Answers without descriptors may wait.
    if (sent_descriptors_.amount() != 0) {
        return close("it asks on without reading its descriptors");
    }
    if (!asked.request) return send(core::Reply{wire::Reply{asked.request.error()}, {}});
    if (!place_is_known_ && service_.depends_on_place(peer_.uid, *asked.request)) {
        peer_.elsewhere = find_peer_place(socket_.get()) == PeerPlace::kElsewhere;
        place_is_known_ = true;
    }
    std::optional<core::Reply> reply =
        service_.handle(peer_, *asked.request, std::move(asked.fds), shared_from_this());
    if (reply) {
        send(std::move(*reply));
    } else {
        building_ = true;
    }
}

void Connection::serve_waiting() {
    while (!closed_ && !building_ && !outgoing_ && !waiting_.empty()) {
        Asked asked = std::move(waiting_.front());
        waiting_.pop_front();
        serve(std::move(asked));
    }
    if (waiting_.empty()) {
        waiting_descriptors_.clear();
        waiting_bytes_.clear();
    }
}

void Connection::send(core::Reply reply) {
    Outgoing outgoing{wire::encode(reply.message), std::move(reply.fds)};
    if (outgoing.packet.size() > wire::kMaxMessageSize) {
        const Error error{ErrorCode::kSystem, "the answer does not fit a message"};
        outgoing = Outgoing{wire::encode(wire::Reply{error}), {}};
    }
    if (!sent_bytes_.add(outgoing.packet.size() + kMessageOverhead)) {
        return close("its uid leaves too many answers unread");
    }
    if (!sent_descriptors_.add(outgoing.fds.size())) {
        server_.warn_of_unread_descriptors(peer_.uid);
        const Error error{ErrorCode::kUnavailable,
                          "too many descriptors are on their way to processes of this uid that do "
                          "not read them; try again later"};
        outgoing = Outgoing{wire::encode(wire::Reply{error}), {}};
    }
    if (!try_send(outgoing)) outgoing_ = std::move(outgoing);
}

bool Connection::try_send(Outgoing& outgoing) {
    int fds[kMaxFdsPerMessage];
    size_t count = 0;
    for (const std::shared_ptr<const UniqueFd>& fd : outgoing.fds) {
        if (count < kMaxFdsPerMessage) fds[count++] = fd->get();
    }
    switch (send_message(socket_.get(), outgoing.packet.data(), outgoing.packet.size(), fds, count,
                         MSG_DONTWAIT)) {
        case IoStatus::kOk: last_activity_ = Clock::now(); return true;
        case IoStatus::kAgain: return false;
        case IoStatus::kClosed: close(nullptr); return true;
        case IoStatus::kTruncated:
        case IoStatus::kError:
            if (errno == ETOOMANYREFS && count != 0) {
                sent_descriptors_.clear();
                server_.warn_of_descriptors_on_their_way();
                const Error error{ErrorCode::kUnavailable,
                                  "too many descriptors are on their way to other processes; "
                                  "try again later"};
                outgoing = Outgoing{wire::encode(wire::Reply{error}), {}};
                return try_send(outgoing);
            }
            close(std::strerror(errno));
            return true;
    }
    return true;
}

void Connection::on_writable() {
    if (outgoing_ && try_send(*outgoing_)) {
        outgoing_.reset();
        serve_waiting();
        // What arrived meanwhile.
        if (!closed_) return server_.enqueue(shared_from_this());
    }
    wait();
}

// Nothing is done about a peer that is gone or slow: its end shows when we read.
void Connection::progress(const wire::BuildProgress& progress) {
    if (closed_ || outgoing_) return;
    note_what_is_read();
    if (sent_bytes_.amount() != 0) return;  // it does not keep up
    const std::string packet = wire::encode(wire::Reply{progress});
    if (!sent_bytes_.add(packet.size() + kMessageOverhead)) return;
    send_message(socket_.get(), packet.data(), packet.size(), nullptr, 0, MSG_DONTWAIT);
}

void Connection::sources_wanted(UniqueFd socket) {
    if (closed_ || outgoing_) return;
    send(core::Reply{wire::Reply{wire::SourcesReply{}},
                     {std::make_shared<const UniqueFd>(std::move(socket))}});
    if (outgoing_) wait();
}

void Connection::finish(core::Reply reply) {
    if (closed_) return;
    building_ = false;
    last_activity_ = Clock::now();
    send(std::move(reply));
    serve_waiting();
    wait();
}

}  // namespace pycds::ipc
