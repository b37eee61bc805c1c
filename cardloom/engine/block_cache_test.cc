#include "cardloom/engine/block_cache.h"

#include <gtest/gtest.h>

#include "cardloom/base/error.h"
#include "cardloom/engine/picture_slots.h"

namespace cardloom {
namespace {

ContentHash key(std::uint64_t number) { return {{number, 0, 0, 1}}; }

TEST(BlockCache, APublishedBlockIsFoundWhileUsedAndWhenIdle) {
  BlockCache cache(2);
  const std::int32_t block = cache.allocate().value();
  EXPECT_EQ(cache.share(key(1)), std::nullopt);
  cache.publish(block, key(1));
  EXPECT_EQ(cache.share(key(1)), block);
  EXPECT_EQ(cache.num_users(block), 2);
  cache.release(block);
  cache.release(block);
  EXPECT_EQ(cache.num_idle(), 1);
  EXPECT_EQ(cache.num_used(), 0);
  EXPECT_EQ(cache.num_available(), 2);
  EXPECT_EQ(cache.share(key(1)), block);
  EXPECT_EQ(cache.num_idle(), 0);
  EXPECT_EQ(cache.num_users(block), 1);
}

TEST(BlockCache, FreeBlocksGoFirstThenTheOneThatIsIdleForLongest) {
  BlockCache cache(3);
  for (std::uint64_t number = 0; number < 3; ++number) {
    cache.publish(cache.allocate().value(), key(number));
  }
  EXPECT_EQ(cache.allocate(), std::nullopt);
  for (const std::int32_t block : {1, 2, 0}) cache.release(block);
  EXPECT_EQ(cache.share(key(2)), 2);
  cache.release(2);  // now the order is 1, 0, 2
  EXPECT_EQ(cache.allocate(), 1);
  EXPECT_EQ(cache.find(key(1)), std::nullopt);
  EXPECT_EQ(cache.allocate(), 0);
  EXPECT_EQ(cache.find(key(2)), 2);
  EXPECT_EQ(cache.allocate(), 2);
  EXPECT_EQ(cache.allocate(), std::nullopt);
}

TEST(BlockCache, TheFirstBlockOfAContentStays) {
  BlockCache cache(2);
  const std::int32_t first = cache.allocate().value();
  const std::int32_t second = cache.allocate().value();
  cache.publish(first, key(1));
  cache.publish(second, key(1));
  cache.publish(first, key(1));
  EXPECT_EQ(cache.find(key(1)), first);
  cache.release(second);
  EXPECT_EQ(cache.num_free(), 1);
  cache.release(first);
  EXPECT_EQ(cache.num_free(), 1);
  EXPECT_EQ(cache.num_idle(), 1);
}

TEST(BlockCache, WhatIsForgottenIsFoundNoMore) {
  BlockCache cache(1);
  const std::int32_t block = cache.allocate().value();
  cache.forget(block);
  cache.publish(block, key(1));
  EXPECT_THROW(cache.publish(block, key(2)), Exception);
  cache.forget(block);
  EXPECT_EQ(cache.find(key(1)), std::nullopt);
  cache.release(block);
  EXPECT_EQ(cache.num_free(), 1);
}

TEST(BlockCache, NamesABlockThatIsNotInUse) {
  BlockCache cache(2);
  const std::int32_t block = cache.allocate().value();
  cache.publish(block, key(1));
  cache.release(block);  // idle: the cache's own reference is nobody's to release
  for (const std::int32_t unused : {-1, 0, 1, 2}) {
    EXPECT_THROW(cache.release(unused), Exception);
    EXPECT_THROW(cache.publish(unused, key(2)), Exception);
    EXPECT_THROW(cache.forget(unused), Exception);
  }
  EXPECT_EQ(cache.num_idle(), 1);
}

TEST(PictureSlots, APictureIsEncodedOnceForAllWhoWantIt) {
  PictureSlots slots(1);
  const std::int32_t slot = slots.acquire(key(1)).value();
  EXPECT_FALSE(slots.is_ready(slot));
  EXPECT_EQ(slots.acquire(key(1)), slot);
  EXPECT_EQ(slots.acquire(key(2)), std::nullopt);
  slots.set_ready(slot);
  slots.release(slot);
  slots.release(slot);
  EXPECT_EQ(slots.acquire(key(1)), slot);
  EXPECT_TRUE(slots.is_ready(slot));
}

TEST(PictureSlots, APictureThatWasNeverEncodedLeavesNothing) {
  PictureSlots slots(1);
  const std::int32_t slot = slots.acquire(key(1)).value();
  slots.release(slot);
  EXPECT_EQ(slots.cache().num_free(), 1);
  EXPECT_EQ(slots.acquire(key(1)), slot);
  EXPECT_FALSE(slots.is_ready(slot));
}

TEST(PictureSlots, WhoEncodesAPictureHoldsItsSlot) {
  PictureSlots slots(1);
  const std::int32_t slot = slots.acquire(key(1)).value();
  slots.hold(slot);
  slots.release(slot);  // who wanted it is gone
  EXPECT_EQ(slots.acquire(key(2)), std::nullopt);
  slots.set_ready(slot);
  slots.release(slot);
  EXPECT_EQ(slots.acquire(key(1)), slot);
  EXPECT_TRUE(slots.is_ready(slot));
}

TEST(PictureSlots, APictureGivesWayWhenNobodyUsesIt) {
  PictureSlots slots(1);
  const std::int32_t slot = slots.acquire(key(1)).value();
  slots.set_ready(slot);
  slots.release(slot);
  EXPECT_EQ(slots.acquire(key(2)), slot);
  EXPECT_FALSE(slots.is_ready(slot));
}

}  // namespace
}  // namespace cardloom
