// Who may do what with the daemon.
#include <gtest/gtest.h>

#include "daemon/policy/access.h"
#include "tests/unit/daemon/temp_dir.h"

namespace pycds::policy {
namespace {

using wire::Domain;

constexpr uid_t kDaemon = 500;
constexpr uid_t kAlice = 1000;
constexpr uid_t kBob = 1001;

constexpr const char* kPython = "/usr/bin/env";  // a program that is the system's anywhere

PeerIdentity peer(uid_t uid) {
    return PeerIdentity{uid, uid, 1};
}

TEST(Access, RootAndTheDaemonsUserBuild) {
    const Access access({kDaemon, false});
    EXPECT_TRUE(access.may_build(peer(0)).ok());
    EXPECT_TRUE(access.may_build(peer(kDaemon)).ok());
    const Status refused = access.may_build(peer(kAlice));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
    EXPECT_NE(refused.error().message.find("pycdsd --user"), std::string::npos);
}

TEST(Access, EverybodyBuildsFromWhatHeOffersForHimself) {
    const Access access({kDaemon, false});
    // A process with uid 0 and no rights besides must not speak for root's others.
    EXPECT_FALSE(access.may_build_offered(peer(0)).ok());
    EXPECT_FALSE(access.may_build_offered(peer(kDaemon)).ok());
    for (const uid_t uid : {kAlice, kBob}) {
        EXPECT_TRUE(access.may_build_offered(peer(uid)).ok());
        PeerIdentity inside = peer(uid);
        inside.elsewhere = true;
        EXPECT_FALSE(access.may_build_offered(inside).ok());
    }
    // Of many users the kernel says that they are this one.
    EXPECT_FALSE(access.may_build_offered(peer(65534)).ok());
    const Access users({kAlice, true});
    EXPECT_TRUE(users.may_build_offered(peer(kAlice)).ok());
    EXPECT_FALSE(users.may_build_offered(peer(kBob)).ok());
}

TEST(Access, NobodyMapsAnotherUidsImage) {
    const Access access({kDaemon, false});
    for (const uid_t uid : {uid_t{0}, kDaemon, kAlice, kBob}) {
        EXPECT_TRUE(access.may_map(peer(uid), Domain::kSystem, 0));
        EXPECT_EQ(access.may_map(peer(uid), Domain::kUser, kAlice), uid == kAlice);
        EXPECT_FALSE(access.may_map(peer(uid), Domain::kUnspecified, uid));
    }
}

TEST(Access, InAContainerNobodyIsWhoHeIsOutside) {
    const Access access({kDaemon, false});
    for (const uid_t uid : {uid_t{0}, kDaemon, kAlice}) {
        PeerIdentity inside = peer(uid);
        inside.elsewhere = true;
        EXPECT_FALSE(access.may_build(inside).ok());
        EXPECT_TRUE(access.may_map(inside, Domain::kSystem, 0));
        EXPECT_FALSE(access.may_map(inside, Domain::kUser, uid));
        EXPECT_FALSE(access.may_see(inside, Domain::kUser, kAlice));
        EXPECT_FALSE(access.may_see_all(inside));
        EXPECT_FALSE(access.may_fetch(inside, Domain::kUser, kAlice));
        EXPECT_FALSE(access.may_drop(inside, Domain::kUser, uid));
        EXPECT_FALSE(access.may_drop(inside, Domain::kSystem, 0));
    }
}

TEST(Access, OnlyRootFetchesAnothersImage) {
    const Access access({kDaemon, false});
    EXPECT_TRUE(access.may_fetch(peer(0), Domain::kUser, kAlice));
    EXPECT_TRUE(access.may_fetch(peer(kAlice), Domain::kUser, kAlice));
    EXPECT_FALSE(access.may_fetch(peer(kDaemon), Domain::kUser, kAlice));
    EXPECT_FALSE(access.may_fetch(peer(kBob), Domain::kUser, kAlice));
}

TEST(Access, AdministratorsSeeAndDropAllOthersTheirOwn) {
    const Access access({kDaemon, false});
    for (const uid_t uid : {uid_t{0}, kDaemon, kAlice}) {
        EXPECT_TRUE(access.may_see(peer(uid), Domain::kUser, kAlice));
        EXPECT_TRUE(access.may_drop(peer(uid), Domain::kUser, kAlice));
    }
    EXPECT_FALSE(access.may_see(peer(kBob), Domain::kUser, kAlice));
    EXPECT_FALSE(access.may_drop(peer(kBob), Domain::kUser, kAlice));
    EXPECT_TRUE(access.may_see(peer(kBob), Domain::kSystem, 0));
    EXPECT_FALSE(access.may_drop(peer(kBob), Domain::kSystem, 0));
}

// What the daemon can read because of who it is must not reach whom it does not belong to.
TEST(Access, AFileThatIsNotTheSystemsGoesToTheDaemonsOwnUidOrNowhere) {
    const Access access({kDaemon, false});
    const std::vector<std::string> paths{"/etc/passwd", "/nowhere/x.py"};
    EXPECT_EQ(access.place_sources(peer(kDaemon), kPython, paths).value(),
              (std::vector<Domain>{Domain::kSystem, Domain::kUser}));
    EXPECT_EQ(access.place_sources(peer(0), kPython, paths).value(),
              (std::vector<Domain>{Domain::kSystem, Domain::kUnspecified}));
}

TEST(Access, AnInterpreterThatIsNotTheSystemsMakesNothingForTheSystem) {
    const Access access({kDaemon, false});
    const std::vector<std::string> paths{"/etc/passwd"};
    const test::TempDir dir;  // in a directory that all can write
    const std::string python = dir / "python3";
    test::write_file(python, "#!/bin/sh\n", 0755);
    EXPECT_EQ(access.place_sources(peer(kDaemon), python, paths).value(),
              std::vector<Domain>{Domain::kUser});
    const Result<std::vector<Domain>> refused = access.place_sources(peer(0), python, paths);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
    EXPECT_NE(refused.error().message.find(python), std::string::npos);
    EXPECT_FALSE(access.place_sources(peer(0), "/etc/passwd", paths).ok()) << "not executable";
}

TEST(Access, InAUsersDaemonEverythingIsTheUsers) {
    const Access access({kAlice, true});
    EXPECT_EQ(access.place_sources(peer(kAlice), "/x", {"/etc/passwd", "/nowhere/x.py"}).value(),
              (std::vector<Domain>{Domain::kUser, Domain::kUser}));
}

}  // namespace
}  // namespace pycds::policy
