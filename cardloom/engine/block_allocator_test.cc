#include "cardloom/engine/block_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "cardloom/base/error.h"

namespace cardloom {
namespace {

TEST(BlockAllocator, HandsOutEveryBlockOnceAndThenNothing) {
  BlockAllocator allocator(3);
  std::set<std::int32_t> blocks;
  for (int count = 0; count < 3; ++count) blocks.insert(allocator.allocate().value());
  EXPECT_EQ(blocks, (std::set<std::int32_t>{0, 1, 2}));
  EXPECT_FALSE(allocator.allocate().has_value());
  allocator.release(1);
  EXPECT_EQ(allocator.allocate(), 1);
}

TEST(BlockAllocator, SharedBlocksAreFreeWithTheLastReference) {
  BlockAllocator allocator(1);
  const std::int32_t block = allocator.allocate().value();
  allocator.share(block);
  allocator.release(block);
  EXPECT_EQ(allocator.num_free(), 0);
  allocator.release(block);
  EXPECT_EQ(allocator.num_free(), 1);
}

TEST(BlockAllocator, NamesABlockThatIsNotInUse) {
  BlockAllocator allocator(2);
  for (const std::int32_t block : {-1, 0, 2}) {
    try {
      allocator.release(block);
      FAIL() << block;
    } catch (const Exception& failure) {
      EXPECT_EQ(failure.error().code, ErrorCode::kInternal);
      EXPECT_EQ(failure.error().message, "block " + std::to_string(block) + " is not in use");
      EXPECT_EQ(failure.error().detail, "2 of 2 blocks are free");
    }
    EXPECT_THROW(allocator.share(block), Exception);
  }
  EXPECT_THROW(BlockAllocator(-1), Exception);
  EXPECT_THROW(BlockAllocator(std::int64_t{1} << 31), Exception);
  EXPECT_EQ(BlockAllocator(0).allocate(), std::nullopt);
}

// Against a map that counts: no block is ever handed out twice, none is lost.
TEST(BlockAllocator, KeepsItsBooksOverRandomOperations) {
  constexpr int kBlocks = 37;
  BlockAllocator allocator(kBlocks);
  std::map<std::int32_t, int> used;
  std::mt19937 random(1);
  const auto any_used = [&] {
    auto entry = used.begin();
    std::advance(entry, static_cast<std::ptrdiff_t>(random() % used.size()));
    return entry;
  };
  for (int operation = 0; operation < 50'000; ++operation) {
    const auto choice = random() % 5;
    if (choice < 2 || used.empty()) {
      const auto block = allocator.allocate();
      ASSERT_EQ(block.has_value(), used.size() < kBlocks);
      if (block) {
        ASSERT_TRUE(*block >= 0 && *block < kBlocks);
        ASSERT_TRUE(used.emplace(*block, 1).second) << "handed out twice";
      }
    } else if (choice == 2) {
      const auto entry = any_used();
      allocator.share(entry->first);
      ++entry->second;
    } else {
      const auto entry = any_used();
      allocator.release(entry->first);
      if (--entry->second == 0) used.erase(entry);
    }
    ASSERT_EQ(allocator.num_free(), kBlocks - static_cast<std::int64_t>(used.size()));
    for (std::int32_t block = 0; block < kBlocks; ++block) {
      ASSERT_EQ(allocator.num_references(block), used.contains(block) ? used.at(block) : 0);
    }
  }
}

}  // namespace
}  // namespace cardloom
