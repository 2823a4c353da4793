// Who may have how much, without sockets.
#include "daemon/core/accounting.h"

#include <gtest/gtest.h>

namespace pycds::core {
namespace {

constexpr uid_t kRoot = 0;
constexpr uid_t kDaemon = 900;
constexpr uid_t kAlice = 1000;
constexpr uid_t kBob = 1001;
constexpr uint64_t kSecond = 1'000'000;

QuotaLimits limits() {
    QuotaLimits out;
    out.connections = {8, 10};
    out.descriptors = {100, 120};
    out.builds = {2, 4};
    out.requests_per_second = 10;
    out.builds_per_minute = 3;
    return out;
}

TEST(Accounting, GivesBackWhatWasCharged) {
    Accounting accounting(limits(), kDaemon);
    {
        Charge charge(accounting, kAlice, Resource::kConnections);
        EXPECT_TRUE(charge.add(3));
        EXPECT_TRUE(charge.add(5));
        EXPECT_FALSE(charge.add(1)) << "the limit of one user";
        EXPECT_EQ(accounting.used(kAlice, Resource::kConnections), 8u);
        Charge other = std::move(charge);
        EXPECT_EQ(other.amount(), 8u);
        other = Charge(accounting, kBob, Resource::kConnections);
        EXPECT_EQ(accounting.used(Resource::kConnections), 0u);
    }
    EXPECT_EQ(accounting.used(Resource::kConnections), 0u);
    accounting.release(kAlice, Resource::kConnections, 1000);
    EXPECT_EQ(accounting.used(Resource::kConnections), 0u) << "no more than there was";
}

TEST(Accounting, WhatCanBeTakenBackIsGivenToTheLimitAndTakenFromTheGreediest) {
    Accounting accounting(limits(), kDaemon);
    EXPECT_FALSE(accounting.greediest(Resource::kConnections).has_value());
    EXPECT_TRUE(accounting.charge(kAlice, Resource::kConnections, 8));
    EXPECT_TRUE(accounting.charge(kBob, Resource::kConnections, 2));
    EXPECT_TRUE(accounting.is_full(Resource::kConnections));
    EXPECT_FALSE(accounting.charge(kBob, Resource::kConnections, 1));
    EXPECT_EQ(accounting.greediest(Resource::kConnections), kAlice);
}

TEST(Accounting, OfWhatCannotBeTakenBackANewcomerFindsSome) {
    Accounting accounting(limits(), kDaemon);
    // Each of a hundred users takes all that he gets, one after the other.
    uint64_t alice = 0;
    while (accounting.charge(kAlice, Resource::kDescriptors, 1)) ++alice;
    EXPECT_EQ(alice, 60u) << "half of all";
    uint64_t bob = 0;
    while (accounting.charge(kBob, Resource::kDescriptors, 1)) ++bob;
    EXPECT_EQ(bob, 20u) << "a third of the rest";
    for (uid_t uid = 2000; uid < 2003; ++uid) {
        EXPECT_TRUE(accounting.charge(uid, Resource::kDescriptors, 1)) << uid;
    }
    EXPECT_FALSE(accounting.charge(kAlice, Resource::kDescriptors, 1));
    accounting.release(kAlice, Resource::kDescriptors, alice);
    EXPECT_TRUE(accounting.charge(kBob, Resource::kDescriptors, 1)) << "there is more again";
}

TEST(Accounting, LimitsRates) {
    Accounting accounting(limits(), kDaemon);
    uint64_t now = 77 * kSecond;
    int at_once = 0;
    while (accounting.spend_request(kAlice, now)) ++at_once;
    EXPECT_EQ(at_once, 10);
    EXPECT_TRUE(accounting.spend_request(kBob, now)) << "another's are not hers";
    now += kSecond / 10;
    EXPECT_TRUE(accounting.spend_request(kAlice, now));
    EXPECT_FALSE(accounting.spend_request(kAlice, now));
    int builds = 0;
    while (accounting.spend_build(kAlice, now)) ++builds;
    EXPECT_EQ(builds, 3);
    EXPECT_TRUE(accounting.spend_build(kAlice, now + 20 * kSecond));
    EXPECT_FALSE(accounting.spend_build(kAlice, now + 21 * kSecond));
    for (const uid_t uid : {kRoot, kDaemon}) {
        for (int i = 0; i < 1000; ++i) {
            ASSERT_TRUE(accounting.spend_request(uid, now));
            ASSERT_TRUE(accounting.spend_build(uid, now));
        }
    }
}

TEST(Accounting, LimitsImagesOfADay) {
    QuotaLimits some = limits();
    some.image_bytes_per_day = {10 << 20, 25 << 20};
    Accounting accounting(some, kDaemon);
    constexpr uint64_t kMega = 1 << 20;
    EXPECT_TRUE(accounting.spend_image_bytes(kAlice, 9 * kMega, kSecond));
    EXPECT_FALSE(accounting.spend_image_bytes(kAlice, 9 * kMega, kSecond));
    EXPECT_FALSE(accounting.spend_image_bytes(kAlice, 9 * kMega, 3600 * kSecond));
    EXPECT_TRUE(accounting.spend_image_bytes(kAlice, 9 * kMega, 23 * 3600 * kSecond));
    EXPECT_TRUE(accounting.spend_image_bytes(kBob, 9 * kMega, 23 * 3600 * kSecond));
    constexpr uid_t kCarol = 1002;
    EXPECT_FALSE(accounting.spend_image_bytes(kCarol, 9 * kMega, 23 * 3600 * kSecond)) << "of all";
    EXPECT_TRUE(accounting.spend_image_bytes(kCarol, 5 * kMega, 23 * 3600 * kSecond));
    EXPECT_TRUE(accounting.spend_image_bytes(kRoot, uint64_t{1} << 40, 23 * 3600 * kSecond));
}

TEST(Accounting, OthersBuildsKeepNoAdministratorFromHis) {
    Accounting accounting(limits(), kDaemon);
    for (uid_t uid = 1000; accounting.charge(uid, Resource::kBuilds, 1); ++uid) {
    }
    EXPECT_TRUE(accounting.is_full(Resource::kBuilds));
    EXPECT_TRUE(accounting.charge(kRoot, Resource::kBuilds, 4));
    EXPECT_FALSE(accounting.charge(kRoot, Resource::kBuilds, 1));
    EXPECT_TRUE(accounting.charge(kDaemon, Resource::kBuilds, 1));
}

TEST(Accounting, ForgetsUsersWhoHaveNothing) {
    Accounting accounting(limits(), kDaemon);
    ASSERT_TRUE(accounting.charge(kAlice, Resource::kConnections, 1));
    uint64_t now = 0;
    // A range of uids as subuid(5) gives it to one user.
    for (uid_t uid = 100'000; uid < 165'536; ++uid) {
        ASSERT_TRUE(accounting.spend_request(uid, now += kSecond));
        ASSERT_LE(accounting.users(), 600u);
    }
    EXPECT_EQ(accounting.used(kAlice, Resource::kConnections), 1u);
}

}  // namespace
}  // namespace pycds::core
