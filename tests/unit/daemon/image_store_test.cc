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

}  // namespace
}  // namespace pycds::core
