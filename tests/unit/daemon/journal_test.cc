// What arrives in the journal: the daemon runs in a mount namespace where the journal's socket is
// the test's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <map>
#include <optional>

#include "src/common/base/event.h"
#include "src/common/image/format.h"
#include "tests/fakes/tiny_image.h"
#include "tests/unit/daemon/daemon_process.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::test {
namespace {

using Entry = std::map<std::string, std::string>;

constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

class JournalTest : public testing::Test {
  protected:
    JournalTest() : journal_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

    // In the daemon, before it is the daemon.
    bool enter_namespace(bool with_journal) const {
        if (unshare(CLONE_NEWNS) != 0 ||
            mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("tmpfs", "/run", "tmpfs", 0, "mode=755") != 0) {
            return false;
        }
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, kJournalSocket);
        if (with_journal &&
            (mkdir("/run/systemd", 0755) != 0 || mkdir("/run/systemd/journal", 0755) != 0 ||
             bind(journal_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)) {
            return false;
        }
        struct stat st {};
        if (fstat(STDERR_FILENO, &st) != 0) return false;
        const std::string stream = std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino);
        return setenv("JOURNAL_STREAM", stream.c_str(), 1) == 0;
    }

    // False: not possible here.
    bool start(bool with_journal = true) {
        write_file(daemon_.path("conf"), "");
        if (daemon_.start({{"--config", daemon_.path("conf")}, {}, -1, true, [this, with_journal] {
                               return enter_namespace(with_journal);
                           }})) {
            return true;
        }
        EXPECT_EQ(daemon_.wait(), 77);
        return false;
    }

    // The next entry, which must be of that event and have all its fields.
    Entry next(Event event) {
        pollfd ready{journal_.get(), POLLIN, 0};
        if (poll(&ready, 1, kDeadlineSeconds * 1000) != 1) {
            ADD_FAILURE() << "nothing in the journal";
            return {};
        }
        char buffer[65536];
        const ssize_t size = recv(journal_.get(), buffer, sizeof buffer, 0);
        Entry entry;
        std::string_view rest(buffer, size > 0 ? static_cast<size_t>(size) : 0);
        while (!rest.empty()) {
            const std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(std::min(line.size() + 1, rest.size()));
            const size_t equals = line.find('=');
            if (equals == std::string_view::npos) {
                ADD_FAILURE() << "a field with a newline: " << line;
                continue;
            }
            entry[std::string(line.substr(0, equals))] = line.substr(equals + 1);
        }
        const EventInfo& info = kEvents[static_cast<size_t>(event)];
        EXPECT_EQ(entry["MESSAGE_ID"], info.id) << entry["MESSAGE"];
        EXPECT_EQ(entry["PRIORITY"], std::to_string(static_cast<int>(info.level)));
        EXPECT_EQ(entry["SYSLOG_IDENTIFIER"], "pycdsd");
        for (const std::string_view field : info.fields) {
            if (!field.empty()) {
                EXPECT_EQ(entry.count(std::string(field)), 1u) << field;
            }
        }
        return entry;
    }

    std::optional<Answer> ask(const wire::Request& request, const std::vector<int>& fds = {}) {
        TestClient client(daemon_.socket());
        EXPECT_TRUE(client.send(request, fds));
        return client.receive_last();
    }

    UniqueFd journal_;
    DaemonProcess daemon_;
};

TEST_F(JournalTest, HasEventsWithTheirFields) {
    if (!start()) GTEST_SKIP() << "no mount namespaces here";
    Entry entry = next(Event::kStarted);
    EXPECT_EQ(entry["PYCDS_SOCKET"], daemon_.socket());
    EXPECT_NE(entry["MESSAGE"].find("listening on"), std::string::npos);

    // An image, its end, and one that does not come to be.
    fakes::TinyImageOptions options;
    options.paths = {"/etc/passwd"};
    options.left_out.clear();
    options.generation = 1;
    options.base = image::requested_base_of_slot(0);
    options.first_co_version = image::first_co_version_of_slot(0);
    const std::vector<std::byte> bytes = fakes::make_tiny_image(options);
    write_file(daemon_.path("client/image-0-1"),
               {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    daemon_.set_builder("write_image()");
    const UniqueFd plan = make_plan({"/etc/passwd"});
    ASSERT_TRUE(ask(wire::BuildRequest{TEST_PYTHON, 0}, {plan.get()}));
    entry = next(Event::kImagePublished);
    EXPECT_EQ(entry["PYCDS_IMAGE"], "img-1");
    EXPECT_EQ(entry["PYCDS_PYTHON"], TEST_PYTHON);
    EXPECT_EQ(entry["PYCDS_MODULES"], "1");
    EXPECT_EQ(entry["PYCDS_BYTES"], std::to_string(bytes.size()));
    EXPECT_EQ(entry["PYCDS_UID"], std::to_string(getuid()));
    ASSERT_TRUE(ask(wire::DropRequest{"all"}));
    entry = next(Event::kImageDropped);
    EXPECT_EQ(entry["PYCDS_IMAGE"], "img-1");
    EXPECT_EQ(entry["PYCDS_UID"], std::to_string(getuid()));
    daemon_.set_builder("report('error no luck'); sys.exit(1)");
    const UniqueFd again = make_plan({"/etc/passwd"});
    ASSERT_TRUE(ask(wire::BuildRequest{TEST_PYTHON, 0}, {again.get()}));
    entry = next(Event::kBuildFailed);
    EXPECT_NE(entry["PYCDS_REASON"].find("no luck"), std::string::npos);

    write_file(daemon_.path("conf"), "image-budget = 5\n");
    ASSERT_EQ(kill(daemon_.pid(), SIGHUP), 0);
    EXPECT_EQ(next(Event::kReloaded)["PYCDS_OPTIONS"], "image-budget = 5 (was 2048)");
    write_file(daemon_.path("conf"), "image-budget = few\n");
    ASSERT_EQ(kill(daemon_.pid(), SIGHUP), 0);
    EXPECT_TRUE(
        next(Event::kReloadRefused)["PYCDS_REASON"].starts_with(daemon_.path("conf") + ":1: "));
    EXPECT_EQ(daemon_.stop(SIGTERM), 0);
    next(Event::kStopping);

    // Lines go where they went, with their level; events do not go there too.
    EXPECT_NE(daemon_.log().find("<6>build 1 started"), std::string::npos) << daemon_.log();
    EXPECT_EQ(daemon_.log().find("listening on"), std::string::npos) << daemon_.log();
}

TEST_F(JournalTest, WithoutItsSocketEventsAreLines) {
    if (!start(false)) GTEST_SKIP() << "no mount namespaces here";
    EXPECT_EQ(daemon_.stop(SIGTERM), 0);
    EXPECT_TRUE(daemon_.log().starts_with("<6>pycdsd ")) << daemon_.log();
    EXPECT_TRUE(daemon_.log().ends_with("<6>shutting down\n")) << daemon_.log();
}

}  // namespace
}  // namespace pycds::test
