// A blocking conversation with the daemon (proto/pycds.proto), every wait with an end.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "src/common/base/result.h"
#include "src/common/os/unique_fd.h"
#include "src/common/wire/messages.h"

namespace pycds::ctl {

// The only one that clients look for unless $PYCDS_SOCKET is set.
inline constexpr const char* kSystemSocket = "/run/pycds/pycdsd.sock";

// The socket to use: `wanted` if not empty, else $PYCDS_SOCKET, else the system's if it exists,
// else the user's own ($XDG_RUNTIME_DIR) if it exists, else the system's. As given, not made
// absolute.
std::string choose_socket(const std::string& wanted);

struct Answer {
    wire::Reply reply;  // never an Error: that is the Result's
    std::vector<UniqueFd> fds;
};

class Connection {
  public:
    // How long the daemon may take for anything but a build.
    static constexpr std::chrono::milliseconds kPatience{10'000};

    // kUnavailable if nobody answers there, kPermissionDenied if the socket is closed to us or
    // who listens is neither root nor our own user: it would see our plan, and what it says is
    // believed. Root goes on with anybody, with one warning on standard error: a system daemon may
    // have a user of its own.
    static Result<Connection> open(const std::string& socket_path);

    // Sends a request and waits for its last reply. An ErrorReply becomes the Error. BuildProgress
    // replies go to `on_progress`; each is a sign of life, after which `patience` starts anew.
    // `tick` is called about ten times a second while waiting. After an error the connection is
    // of no further use.
    struct Options {
        std::chrono::milliseconds patience = kPatience;
        int fd = -1;  // sent with the request; -1: none
        std::function<void(const wire::BuildProgress&)> on_progress;
        std::function<void(UniqueFd socket)> on_sources;  // of a SourcesReply
        std::function<void()> tick;
    };
    Result<Answer> call(const wire::Request& request, const Options& options);
    Result<Answer> call(const wire::Request& request) { return call(request, Options{}); }

    // The same, for a reply of one type; anything else is a daemon that speaks another protocol.
    template <typename Reply>
    Result<Reply> ask(const wire::Request& request, const Options& options) {
        Result<Answer> answer = call(request, options);
        if (!answer) return answer.error();
        if (Reply* reply = std::get_if<Reply>(&answer->reply)) return std::move(*reply);
        return unexpected();
    }
    template <typename Reply>
    Result<Reply> ask(const wire::Request& request) {
        return ask<Reply>(request, Options{});
    }

    // Does the daemon run as somebody else, before whom we are a user among others?
    bool is_of_another() const { return geteuid() != 0 && server_uid_ != geteuid(); }

    // The error for a reply that does not belong to the request.
    Error unexpected() const;

  private:
    Connection(UniqueFd socket, std::string path, uid_t server_uid)
        : socket_(std::move(socket)), path_(std::move(path)), server_uid_(server_uid) {}
    Status send(const std::string& packet, int fd, std::chrono::milliseconds patience);
    Result<Answer> receive(const Options& options);
    Status wait_for(short events, std::chrono::milliseconds patience,
                    const std::function<void()>& tick);

    UniqueFd socket_;
    std::string path_;
    uid_t server_uid_;
};

}  // namespace pycds::ctl
