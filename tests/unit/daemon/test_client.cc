#include "tests/unit/daemon/test_client.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cstring>
#include <span>

#include "src/common/os/fd_passing.h"
#include "src/common/os/sealed_memfd.h"
#include "src/common/wire/framing.h"

namespace pycds::test {

TestClient::TestClient(const std::string& socket_path)
    : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(socket_path.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
        << socket_path << ": " << std::strerror(errno);
    const timeval deadline{kDeadlineSeconds, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
}

bool TestClient::send(const wire::Request& request, const std::vector<int>& fds) {
    const std::string packet = wire::encode(request);
    IoStatus status = IoStatus::kOk;
    const time_t end = time(nullptr) + kDeadlineSeconds;
    do {
        status = send_message(fd_.get(), packet.data(), packet.size(), fds.data(), fds.size());
        // Nobody's descriptors pass before the daemon knows whose they are (let_descriptors_pass).
    } while (status == IoStatus::kError && errno == EPERM && time(nullptr) < end);
    return status == IoStatus::kOk;
}

bool TestClient::send_bytes(const std::string& bytes) {
    return send_message(fd_.get(), bytes.data(), bytes.size(), nullptr, 0) == IoStatus::kOk;
}

std::optional<Answer> TestClient::receive() {
    std::vector<std::byte> buffer(wire::kMaxMessageSize);
    ReceivedMessage message;
    const IoStatus status = receive_message(fd_.get(), buffer.data(), buffer.size(), &message);
    if (status != IoStatus::kOk) {
        ADD_FAILURE() << "no reply, status " << static_cast<int>(status);
        return std::nullopt;
    }
    Result<wire::Reply> reply = wire::decode_reply(std::span(buffer).first(message.size));
    if (!reply) {
        ADD_FAILURE() << reply.error().message;
        return std::nullopt;
    }
    Answer answer{std::move(*reply), {}};
    for (size_t i = 0; i < message.fd_count; ++i) answer.fds.push_back(std::move(message.fds[i]));
    return answer;
}

std::optional<Answer> TestClient::receive_last() {
    for (;;) {
        std::optional<Answer> answer = receive();
        if (!answer || answer->as<wire::BuildProgress>() == nullptr) return answer;
    }
}

bool TestClient::wait_for_close() {
    char byte = 0;
    const ssize_t n = recv(fd_.get(), &byte, sizeof byte, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

UniqueFd make_plan(const std::vector<std::string>& paths) {
    Result<UniqueFd> fd = create_memfd("plan");
    EXPECT_TRUE(fd.ok());
    std::string bytes;
    for (const std::string& path : paths) bytes.append(path).push_back('\0');
    EXPECT_EQ(write(fd->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return std::move(*fd);
}

bool wait_for_end(pid_t pid) {
    const UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!fd) return errno == ESRCH;
    pollfd end{fd.get(), POLLIN, 0};
    return poll(&end, 1, kDeadlineSeconds * 1000) == 1;
}

}  // namespace pycds::test
