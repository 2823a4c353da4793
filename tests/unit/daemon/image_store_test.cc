#include "daemon/core/image_store.h"

#include <gtest/gtest.h>

namespace pycds::core {
namespace {

NewImage image(ImageStore& store, uint8_t identity, uint64_t size,
               wire::Domain domain = wire::Domain::kSystem, uint32_t uid = 0) {
    NewImage out;
    out.info.generation = store.next_generation();
    out.info.id = ImageStore::id_of_generation(out.info.generation);
    out.info.identity[0] = identity;
    out.info.size = size;
    out.info.domain = domain;
    out.info.domain_uid = uid;
    return out;
}

NewImage image_by_itself(ImageStore& store, uint8_t identity, uint64_t size, Origin origin) {
    NewImage out = image(store, identity, size);
    out.origin = origin;
    return out;
}

Result<std::vector<wire::ImageInfo>> publish(ImageStore& store, NewImage first) {
    std::vector<NewImage> list;
    list.push_back(std::move(first));
    return store.publish(std::move(list), 5);
}

Result<std::vector<wire::ImageInfo>> publish(ImageStore& store, std::vector<NewImage>* list) {
    return store.publish(std::move(*list), 5);
}

ImageKey key(uint8_t identity, wire::Domain domain = wire::Domain::kSystem, uid_t uid = 0) {
    ImageKey out;
    out.identity[0] = identity;
    out.domain = domain;
    out.domain_uid = uid;
    return out;
}

TEST(ImageStore, ANewImageReplacesTheOneOfItsKey) {
    ImageStore store({1000, 10});
    ASSERT_TRUE(publish(store, image(store, 1, 100)).ok());
    ASSERT_TRUE(publish(store, image(store, 2, 100)).ok());
    ASSERT_TRUE(publish(store, image(store, 1, 300)).ok());
    EXPECT_EQ(store.size(), 2u);
    EXPECT_EQ(store.bytes(), 400u);
    EXPECT_EQ(store.find(key(1))->info.id, "img-3");
    EXPECT_EQ(store.find(key(1))->info.published_unix_ms, 5u);
    EXPECT_EQ(store.find("img-1"), nullptr);
    EXPECT_NE(store.find("img-2"), nullptr);
}

TEST(ImageStore, AnotherBudgetIsForWhatComes) {
    ImageStore store({1000, 10});
    ASSERT_TRUE(publish(store, image(store, 1, 600)).ok());
    store.set_limits({500, 10});
    EXPECT_EQ(store.size(), 1u) << "what is there stays";
    EXPECT_FALSE(publish(store, image(store, 2, 1)).ok());
    EXPECT_TRUE(publish(store, image(store, 1, 400)).ok()) << "in its place";
    store.set_limits({2000, 10});
    EXPECT_TRUE(publish(store, image(store, 2, 1600)).ok());
}

TEST(ImageStore, DomainsAndUidsHaveTheirOwn) {
    ImageStore store({1000, 10});
    std::vector<NewImage> images;
    images.push_back(image(store, 1, 1));
    images.push_back(image(store, 1, 1, wire::Domain::kUser, 7));
    images.push_back(image(store, 1, 1, wire::Domain::kUser, 8));
    ASSERT_TRUE(publish(store, &images).ok());
    EXPECT_EQ(store.size(), 3u);
    EXPECT_EQ(store.find(key(1, wire::Domain::kUser, 8))->info.id, "img-3");
    EXPECT_EQ(store.find(key(1, wire::Domain::kUser, 9)), nullptr);
}

TEST(ImageStore, BytesAreLimited) {
    ImageStore store({1000, 10});
    ASSERT_TRUE(publish(store, image(store, 1, 600)).ok());
    const auto refused = publish(store, image(store, 2, 500));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(refused.error().message.find("image-budget"), std::string::npos);
    EXPECT_EQ(store.bytes(), 600u);
    EXPECT_TRUE(publish(store, image(store, 1, 1000)).ok()) << "the old one's bytes come free";
}

TEST(ImageStore, TheirNumberIsLimited) {
    ImageStore store({1000, 2});
    ASSERT_TRUE(publish(store, image(store, 1, 1)).ok());
    ASSERT_TRUE(publish(store, image(store, 2, 1)).ok());
    EXPECT_FALSE(publish(store, image(store, 3, 1)).ok());
    EXPECT_TRUE(publish(store, image(store, 2, 1)).ok());
}

TEST(ImageStore, PublishesAllOrNone) {
    ImageStore store({1000, 10});
    std::vector<NewImage> images;
    images.push_back(image(store, 1, 600));
    images.push_back(image(store, 2, 600));
    EXPECT_FALSE(publish(store, &images).ok());
    EXPECT_EQ(store.size(), 0u);
    EXPECT_EQ(store.bytes(), 0u);
}

TEST(ImageStore, DroppedImagesAreGoneAndTheirBytesFree) {
    ImageStore store({1000, 10});
    ASSERT_TRUE(publish(store, image(store, 1, 600)).ok());
    ASSERT_TRUE(publish(store, image(store, 2, 100)).ok());
    const auto first = [](const StoredImage& stored) { return stored.info.id == "img-1"; };
    EXPECT_EQ(store.drop_if(first), 1u);
    EXPECT_EQ(store.drop_if(first), 0u);
    EXPECT_EQ(store.bytes(), 100u);
    ASSERT_EQ(store.all().size(), 1u);
    EXPECT_EQ(store.all()[0]->info.id, "img-2");
}

class Witness final : public ImageKeeper {
  public:
    void keep(const StoredImage& image) override { said.push_back("keep " + image.info.id); }
    void forget(const StoredImage& image) override { said.push_back("forget " + image.info.id); }
    std::vector<std::string> said;
};

TEST(ImageStore, KeepersAreToldOfWhatComesAndGoes) {
    ImageStore store({1000, 10});
    Witness witness;
    store.add_keeper(&witness);
    ASSERT_TRUE(publish(store, image(store, 1, 100)).ok());
    ASSERT_TRUE(publish(store, image(store, 1, 100)).ok());
    store.drop_if([](const StoredImage&) { return true; });
    EXPECT_EQ(witness.said, (std::vector<std::string>{"keep img-1", "forget img-1", "keep img-2",
                                                      "forget img-2"}));
    EXPECT_FALSE(publish(store, image(store, 1, 2000)).ok());
    EXPECT_EQ(witness.said.size(), 4u) << "of what was not published they hear nothing";
}

TEST(ImageStore, AnImageOfTheUpgradedInterpreterReplacesThatOfTheOldOne) {
    ImageStore store({250, 10});
    ASSERT_TRUE(publish(store, image_by_itself(store, 1, 100, {7, 1})).ok());
    ASSERT_TRUE(publish(store, image(store, 2, 50)).ok()) << "somebody asked for this one";
    ASSERT_TRUE(publish(store, image_by_itself(store, 3, 50, {8, 1})).ok());
    ASSERT_TRUE(publish(store, image_by_itself(store, 4, 150, {7, 2})).ok())
        << "the old one's bytes are free then";
    EXPECT_EQ(store.find(key(1)), nullptr);
    EXPECT_NE(store.find(key(2)), nullptr);
    EXPECT_NE(store.find(key(3)), nullptr);
    EXPECT_EQ(store.bytes(), 250u);
}

TEST(ImageStore, TwoInterpretersOfOneBuildDoNotReplaceEachOthersImage) {
    ImageStore store({1000, 10});
    ASSERT_TRUE(publish(store, image_by_itself(store, 1, 100, {7, 1})).ok());
    EXPECT_FALSE(publish(store, image_by_itself(store, 1, 100, {8, 1})).ok());
    EXPECT_TRUE(publish(store, image(store, 1, 100)).ok()) << "who asks for one gets it";
    EXPECT_TRUE(publish(store, image_by_itself(store, 1, 100, {7, 1})).ok());
}

TEST(ImageStore, RestoredImagesCountButTakeNobodysPlace) {
    ImageStore before({1000, 10});
    for (int i = 0; i < 6; ++i) before.next_generation();
    ImageStore store({1000, 10});
    Witness has_it;
    Witness other;
    store.add_keeper(&has_it);
    store.add_keeper(&other);
    NewImage kept = image(before, 1, 100);
    kept.info.published_unix_ms = 99;
    ASSERT_TRUE(store.restore(std::move(kept), &has_it).ok());
    EXPECT_EQ(store.find(key(1))->info.published_unix_ms, 99u);
    EXPECT_EQ(store.next_generation(), 8u) << "no number is given twice";
    EXPECT_TRUE(has_it.said.empty());
    EXPECT_EQ(other.said, std::vector<std::string>{"keep img-7"});

    EXPECT_FALSE(store.restore(image(before, 1, 100), nullptr).ok()) << "its key is taken";
    EXPECT_FALSE(store.restore(image(before, 2, 2000), nullptr).ok()) << "too large";
    NewImage same_id = image(before, 3, 1);
    same_id.info.id = "img-7";
    EXPECT_FALSE(store.restore(std::move(same_id), nullptr).ok());
    EXPECT_EQ(store.bytes(), 100u);
}

NewImage kept(uint64_t generation, uint8_t identity, Origin origin = {}) {
    NewImage out;
    out.info.generation = generation;
    out.info.id = ImageStore::id_of_generation(generation);
    out.info.identity[0] = identity;
    out.info.size = 1;
    out.info.domain = wire::Domain::kSystem;
    out.origin = origin;
    return out;
}

TEST(ImageStore, WhatIsBeingBuiltKeepsItsId) {
    ImageStore store({1000, 10});
    NewImage building = image(store, 1, 1);
    EXPECT_FALSE(store.restore(kept(1, 2), nullptr).ok());
    ASSERT_TRUE(store.restore(kept(5, 3), nullptr).ok());
    ASSERT_TRUE(store.restore(kept(4, 4), nullptr).ok()) << "nobody has that number";
    NewImage another = image(store, 5, 1);
    EXPECT_EQ(another.info.id, "img-6");
    EXPECT_FALSE(store.restore(kept(6, 6), nullptr).ok());
    ASSERT_TRUE(publish(store, std::move(building)).ok());
    ASSERT_TRUE(publish(store, std::move(another)).ok());
    EXPECT_EQ(store.size(), 4u);
}

TEST(ImageStore, AnImageOfBeforeTheUpgradeDoesNotComeBack) {
    ImageStore store({1000, 10});
    ASSERT_TRUE(store.restore(kept(2, 2, {7, 2}), nullptr).ok());
    EXPECT_FALSE(store.restore(kept(1, 1, {7, 1}), nullptr).ok())
        << "nothing would ever replace it";
    EXPECT_TRUE(store.restore(kept(3, 3, {8, 1}), nullptr).ok()) << "another interpreter's";
    EXPECT_TRUE(store.restore(kept(4, 4), nullptr).ok());
}

class UsersImages : public testing::Test {
  protected:
    static constexpr uid_t kDaemon = 500;

    // A user's may be 3 and have 100; all users' 6 and 200.
    static ImageLimits limits() {
        ImageLimits out;
        out.max_bytes = 50;
        out.max_images = 2;
        out.user_max_bytes = 100;
        out.user_max_images = 3;
        out.users_max_bytes = 200;
        out.users_max_images = 6;
        return out;
    }

    Result<std::vector<wire::ImageInfo>> publish_of(uid_t uid, uint8_t identity, uint64_t size) {
        return publish(store_, image(store_, identity, size, wire::Domain::kUser, uid));
    }
    bool has(uid_t uid, uint8_t identity) {
        return store_.find(key(identity, wire::Domain::kUser, uid)) != nullptr;
    }

    ImageStore store_{limits(), kDaemon};
};

TEST_F(UsersImages, HaveRoomOfTheirOwn) {
    ASSERT_TRUE(publish(store_, image(store_, 1, 25)).ok());
    ASSERT_TRUE(publish_of(kDaemon, 1, 25).ok());
    EXPECT_TRUE(publish_of(1000, 1, 100).ok()) << "the others' room is full";
    EXPECT_EQ(store_.bytes(), 50u);
    EXPECT_EQ(store_.size(), 3u);
    EXPECT_FALSE(publish(store_, image(store_, 2, 1)).ok());
    EXPECT_FALSE(publish_of(kDaemon, 2, 1).ok()) << "who runs the daemon is no other user";
    EXPECT_EQ(store_.max_bytes_for(wire::Domain::kSystem, 0), 50u);
    EXPECT_EQ(store_.max_bytes_for(wire::Domain::kUser, kDaemon), 50u);
    EXPECT_EQ(store_.max_bytes_for(wire::Domain::kUser, 1000), 100u);
}

TEST_F(UsersImages, OneUserHasNoMoreThanHisRoom) {
    ASSERT_TRUE(publish_of(1000, 1, 60).ok());
    const auto bytes = publish_of(1000, 2, 41);
    ASSERT_FALSE(bytes.ok());
    EXPECT_EQ(bytes.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(bytes.error().message.find("uid 1000"), std::string::npos);
    EXPECT_TRUE(publish_of(1000, 1, 100).ok()) << "in its place";
    ASSERT_TRUE(publish_of(1000, 1, 1).ok());
    ASSERT_TRUE(publish_of(1000, 2, 1).ok());
    ASSERT_TRUE(publish_of(1000, 3, 1).ok());
    EXPECT_FALSE(publish_of(1000, 4, 1).ok());
    EXPECT_TRUE(publish_of(1001, 4, 1).ok());
    EXPECT_EQ(store_.drop_if([](const StoredImage& stored) { return stored.info.identity[0] == 3; }), 1u);
    EXPECT_TRUE(publish_of(1000, 4, 1).ok());
}

TEST_F(UsersImages, WhoHasMostGivesWayToAnotherWithHisOldest) {
    ASSERT_TRUE(publish_of(1000, 1, 50).ok());
    ASSERT_TRUE(publish_of(1000, 2, 50).ok());
    ASSERT_TRUE(publish_of(1001, 1, 80).ok());
    ASSERT_TRUE(publish_of(1002, 1, 30).ok());
    EXPECT_FALSE(has(1000, 1));
    EXPECT_TRUE(has(1000, 2));
    EXPECT_TRUE(has(1001, 1));
    // Two go if one is not enough, of whoever has most at the time.
    ASSERT_TRUE(publish_of(1003, 1, 40).ok());
    ASSERT_TRUE(publish_of(1004, 1, 10).ok());
    EXPECT_FALSE(has(1001, 1));
    EXPECT_TRUE(has(1000, 2));
    EXPECT_EQ(store_.size(), 4u);
}

TEST_F(UsersImages, WhoWouldHaveMostHimselfGetsNoMore) {
    ASSERT_TRUE(publish_of(1000, 1, 70).ok());
    ASSERT_TRUE(publish_of(1001, 1, 70).ok());
    ASSERT_TRUE(publish_of(1002, 1, 60).ok());
    EXPECT_FALSE(publish_of(1003, 1, 70).ok());
    EXPECT_FALSE(publish_of(1002, 2, 40).ok());
    EXPECT_EQ(store_.size(), 3u) << "and nobody has lost any";
    EXPECT_TRUE(publish_of(1003, 1, 10).ok());
    EXPECT_FALSE(has(1000, 1)) << "of two who have most it is one";
}

TEST_F(UsersImages, TheNumberOfAllIsLimitedToo) {
    for (uint8_t identity = 1; identity <= 3; ++identity) {
        ASSERT_TRUE(publish_of(1000, identity, 2).ok());
        ASSERT_TRUE(publish_of(1001, identity, 3).ok());
    }
    EXPECT_TRUE(publish_of(1002, 1, 1).ok());
    EXPECT_FALSE(has(1000, 1)) << "of two with as many the one with the oldest";
    EXPECT_EQ(store_.size(), 6u);
}

TEST_F(UsersImages, OfManySmallOnesTheOldestGivesWayToALargeOne) {
    for (uid_t uid = 1000; uid < 1006; ++uid) ASSERT_TRUE(publish_of(uid, 1, 1).ok());
    ASSERT_TRUE(publish_of(1000, 1, 1).ok()) << "the newest now";
    EXPECT_TRUE(publish_of(1006, 1, 20).ok());
    EXPECT_TRUE(has(1000, 1));
    EXPECT_FALSE(has(1001, 1));
    EXPECT_TRUE(publish_of(1001, 1, 1).ok());
    EXPECT_FALSE(has(1002, 1));
}

TEST_F(UsersImages, NoKeeperHearsOfThem) {
    struct Keeper final : ImageKeeper {
        void keep(const StoredImage&) override { ++kept; }
        void forget(const StoredImage&) override { ++forgotten; }
        int kept = 0;
        int forgotten = 0;
    } keeper;
    store_.add_keeper(&keeper);
    ASSERT_TRUE(publish_of(1000, 1, 1).ok());
    ASSERT_TRUE(publish_of(kDaemon, 1, 1).ok());
    EXPECT_EQ(store_.drop_if([](const StoredImage&) { return true; }), 2u);
    EXPECT_EQ(keeper.kept, 1);
    EXPECT_EQ(keeper.forgotten, 1);
}

}  // namespace
}  // namespace pycds::core
