// client/link/attach.h against a real socket; the wrong servers are tests/integration's.
#include "client/link/attach.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "src/common/image/format.h"
#include "src/common/os/fd_passing.h"

namespace pycds::link {
namespace {

constexpr uint8_t kIdentity[16] = {1, 2, 3};

class Server {
  public:
    Server() {
        char pattern[] = "/tmp/pycds-attach-XXXXXX";
        directory_ = mkdtemp(pattern);
        path_ = directory_ + "/s";
        socket_.reset(socket(AF_UNIX, SOCK_SEQPACKET, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, path_.c_str());
        EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(listen(socket_.get(), 4), 0);
    }
    ~Server() { std::filesystem::remove_all(directory_); }

    const std::string& path() const { return path_; }

    // Answers one request, having called `before_answer`; returns its bytes.
    std::string serve(
        const std::string& reply, const int* fds, size_t count,
        const std::function<void()>& before_answer = [] {}) {
        const UniqueFd connection(accept(socket_.get(), nullptr, nullptr));
        char buffer[256];
        ReceivedMessage message;
        EXPECT_EQ(receive_message(connection.get(), buffer, sizeof buffer, &message),
                  IoStatus::kOk);
        before_answer();
        EXPECT_EQ(send_message(connection.get(), reply.data(), reply.size(), fds, count),
                  IoStatus::kOk);
        return {buffer, message.size};
    }

  private:
    std::string directory_;
    std::string path_;
    UniqueFd socket_;
};

TEST(Attach, GetsTheDescriptorsOfTheReply) {
    Server server;
    const UniqueFd fd(memfd_create("x", MFD_CLOEXEC));
    const int fds[] = {fd.get(), fd.get()};
    std::string request;
    std::thread thread(
        [&] { request = server.serve(std::string("\x12\x06\x0a\x01x\x0a\x01y", 8), fds, 2); });
    Attachment attachment;
    EXPECT_STREQ(attach(server.path().c_str(), kIdentity, &attachment), nullptr);
    thread.join();
    EXPECT_EQ(attachment.count, 2U);
    EXPECT_TRUE(attachment.images[1].valid());
    // attach { identity: 16 bytes, format_version: that of the client }
    EXPECT_EQ(request.substr(0, 7), std::string("\x0a\x14\x0a\x10\x01\x02\x03"));
    EXPECT_EQ(request.substr(20), std::string({'\x10', static_cast<char>(image::kFormatVersion)}));
}

TEST(Attach, AnAnswerThatIsThereIsTakenAfterTheDeadlineToo) {
    // As if no processor had been free for it: a signal keeps it from running until then.
    struct sigaction late {};
    struct sigaction old {};
    late.sa_handler = [](int) {
        const timespec time{kDeadlineMs / 1000, (kDeadlineMs % 1000 + 50) * 1'000'000L};
        nanosleep(&time, nullptr);
    };
    sigaction(SIGUSR1, &late, &old);
    Server server;
    const UniqueFd fd(memfd_create("x", MFD_CLOEXEC));
    const int fds[] = {fd.get()};
    const pthread_t client = pthread_self();
    std::thread thread([&] {
        server.serve(std::string("\x12\x03\x0a\x01x", 5), fds, 1,
                     [&] { pthread_kill(client, SIGUSR1); });
    });
    Attachment attachment;
    EXPECT_STREQ(attach(server.path().c_str(), kIdentity, &attachment), nullptr);
    thread.join();
    sigaction(SIGUSR1, &old, nullptr);
    EXPECT_EQ(attachment.count, 1U);
}

TEST(Attach, NobodyWhoAnswersIsNotWaitedForWhereThereIsTime) {
    auto fastest = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 10; ++i) {
        const Server server;  // whose queue nobody empties
        Attachment attachment;
        const auto before = std::chrono::steady_clock::now();
        EXPECT_STREQ(attach(server.path().c_str(), kIdentity, &attachment), "deadline");
        fastest = std::min(fastest, std::chrono::steady_clock::now() - before);
    }
    EXPECT_GE(fastest, std::chrono::milliseconds(kPatienceMs * kRounds));
    // However busy this machine is, in one of the ten it was woken in time.
    EXPECT_LT(fastest, std::chrono::milliseconds(kDeadlineMs / 2));
}

TEST(Attach, NothingThere) {
    Attachment attachment;
    EXPECT_STREQ(attach("/nonexistent/s", kIdentity, &attachment), "no-daemon");
    EXPECT_STREQ(attach("", kIdentity, &attachment), "socket-path");
    EXPECT_STREQ(attach(std::string(108, 'x').c_str(), kIdentity, &attachment), "socket-path");
    EXPECT_EQ(attachment.count, 0U);
}

}  // namespace
}  // namespace pycds::link
