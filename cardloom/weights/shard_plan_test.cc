#include "cardloom/weights/shard_plan.h"

#include <gtest/gtest.h>

#include <vector>

#include "cardloom/base/error.h"

namespace cardloom {
namespace {

std::vector<std::int64_t> lengths(const LeafPlan& plan) {
  std::vector<std::int64_t> lengths;
  for (int leaf = 0; leaf < plan.num_leaves; ++leaf) {
    lengths.push_back(plan.border[leaf + 1] - plan.border[leaf]);
  }
  return lengths;
}

std::vector<std::int64_t> shares(int num_leaves, int tp) {
  std::vector<std::int64_t> shares;
  for (int rank = 0; rank < tp; ++rank)
    shares.push_back(leaves_of_rank(num_leaves, tp, rank).size());
  return shares;
}

using Lengths = std::vector<std::int64_t>;

TEST(ShardPlan, CutsFeaturesAtQuantisationGroups) {
  EXPECT_EQ(lengths(plan_feature_leaves(13696)),
            (Lengths{1728, 1728, 1728, 1728, 1696, 1696, 1696, 1696}));
  EXPECT_EQ(lengths(plan_feature_leaves(15360)), Lengths(8, 1920));
  EXPECT_EQ(lengths(plan_feature_leaves(256)), Lengths(8, 32));
  EXPECT_EQ(lengths(plan_feature_leaves(224)), (Lengths{32, 32, 32, 32, 32, 32, 16, 16}));
  EXPECT_EQ(lengths(plan_feature_leaves(112)), (Lengths{16, 16, 16, 16, 16, 16, 8, 8}));
  EXPECT_EQ(lengths(plan_feature_leaves(13)), (Lengths{2, 2, 2, 2, 2, 1, 1, 1}));
  EXPECT_EQ(lengths(plan_feature_leaves(5)), Lengths(5, 1));
  EXPECT_EQ(plan_feature_leaves(0).num_leaves, 0);
}

TEST(ShardPlan, CutsHeadsWhole) {
  EXPECT_EQ(lengths(plan_head_leaves(32, 128)), Lengths(8, 512));
  EXPECT_EQ(lengths(plan_head_leaves(16, 112)), Lengths(8, 224));
  EXPECT_EQ(lengths(plan_head_leaves(12, 10)), (Lengths{20, 20, 20, 20, 10, 10, 10, 10}));
  EXPECT_EQ(lengths(plan_head_leaves(4, 16)), Lengths(4, 16));
  EXPECT_EQ(lengths(plan_head_leaves(1, 16)), Lengths(1, 16));
}

TEST(ShardPlan, DealsLeavesToRanks) {
  EXPECT_EQ(shares(8, 1), (Lengths{8}));
  EXPECT_EQ(shares(8, 2), (Lengths{4, 4}));
  EXPECT_EQ(shares(8, 3), (Lengths{3, 3, 2}));
  EXPECT_EQ(shares(8, 5), (Lengths{2, 2, 2, 1, 1}));
  EXPECT_EQ(shares(8, 8), Lengths(8, 1));
  EXPECT_EQ(shares(4, 6), (Lengths{1, 1, 1, 1, 0, 0}));
  EXPECT_EQ(heads_of_rank(32, 3, 2), (IndexRange{24, 32}));
  EXPECT_EQ(heads_of_rank(4, 8, 6).size(), 0);
}

/// Parts 0..tp-1 follow one another and cover [0, total).
template <class Part>
void expect_cover(std::int64_t total, int tp, const Part& part) {
  std::int64_t position = 0;
  for (int rank = 0; rank < tp; ++rank) {
    const IndexRange range = part(rank);
    ASSERT_EQ(range.begin, position) << total << " things, tp " << tp << ", rank " << rank;
    ASSERT_GE(range.end, range.begin);
    position = range.end;
  }
  ASSERT_EQ(position, total) << "tp " << tp;
}

std::vector<std::int64_t> many_sizes() {
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 1; size <= 600; ++size) sizes.push_back(size);
  for (const std::int64_t size : {1792, 4096, 4608, 5376, 13696, 15360, 27392, 151552, 999983}) {
    sizes.push_back(size);
  }
  return sizes;
}

TEST(ShardPlan, CoversEverythingOnceForEveryTp) {
  for (const std::int64_t size : many_sizes()) {
    for (int tp = 1; tp <= kMaxLeaves; ++tp) {
      expect_cover(size, tp,
                   [&](int rank) { return elements_of_rank(plan_feature_leaves(size), tp, rank); });
      expect_cover(size * 6, tp,
                   [&](int rank) { return elements_of_rank(plan_head_leaves(size, 6), tp, rank); });
      expect_cover(size, tp, [&](int rank) { return heads_of_rank(size, tp, rank); });
      expect_cover(size, tp, [&](int rank) { return vocabulary_of_rank(size, tp, rank); });
    }
  }
}

TEST(ShardPlan, LeavesAreEvenAndOnUnitBorders) {
  for (const std::int64_t size : many_sizes()) {
    const LeafPlan plan = plan_feature_leaves(size);
    ASSERT_EQ(plan.num_leaves, std::min<std::int64_t>(8, size));
    std::int64_t unit = 32;
    while (unit > 1 && (size % unit != 0 || size / unit < 8)) unit /= 2;
    for (int leaf = 0; leaf < plan.num_leaves; ++leaf) {
      const std::int64_t length = plan.border[leaf + 1] - plan.border[leaf];
      ASSERT_GT(length, 0);
      ASSERT_EQ(plan.border[leaf] % unit, 0);
      const std::int64_t last = plan.border[plan.num_leaves] - plan.border[plan.num_leaves - 1];
      ASSERT_TRUE(length == last || length == last + unit) << size;
    }
  }
}

TEST(ShardPlan, RanksKeepTheKvGroupsTheirHeadsRead) {
  EXPECT_EQ(kv_groups_of_heads({0, 16}, 32, 2), (IndexRange{0, 1}));
  EXPECT_EQ(kv_groups_of_heads({16, 32}, 32, 2), (IndexRange{1, 2}));
  EXPECT_EQ(kv_groups_of_heads({12, 24}, 32, 2), (IndexRange{0, 2}));
  EXPECT_EQ(kv_groups_of_heads({24, 28}, 32, 2), (IndexRange{1, 2}));
  EXPECT_EQ(kv_groups_of_heads({4, 4}, 4, 2).size(), 0);
  for (const std::int64_t num_heads : {1, 2, 4, 6, 8, 12, 16, 24, 32, 96}) {
    for (std::int64_t groups = 1; groups <= num_heads; ++groups) {
      if (num_heads % groups != 0) continue;
      for (int tp = 1; tp <= kMaxLeaves; ++tp) {
        for (int rank = 0; rank < tp; ++rank) {
          const IndexRange heads = heads_of_rank(num_heads, tp, rank);
          const IndexRange kept = kv_groups_of_heads(heads, num_heads, groups);
          for (std::int64_t group = 0; group < groups; ++group) {
            bool read = false;
            for (std::int64_t head = heads.begin; head < heads.end; ++head) {
              read = read || head / (num_heads / groups) == group;
            }
            ASSERT_EQ(read, kept.begin <= group && group < kept.end);
          }
        }
      }
    }
  }
}

TEST(ShardPlan, RefusesWhatDoesNotWork) {
  for (const int tp : {-1, 0, 9, 1000}) {
    const Status status = check_tp(tp);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(status.error().message, "tp is " + std::to_string(tp) + ", it must be 1 to 8");
    EXPECT_EQ(status.error().remedy, "use --tp 1, 2, 3, 4, 5, 6, 7 or 8");
    EXPECT_THROW((void)leaves_of_rank(8, tp, 0), Exception);
    EXPECT_THROW((void)vocabulary_of_rank(8, tp, 0), Exception);
  }
  EXPECT_THROW((void)leaves_of_rank(8, 2, 2), Exception);
  EXPECT_THROW((void)leaves_of_rank(8, 2, -1), Exception);
  EXPECT_THROW((void)leaves_of_rank(9, 2, 0), Exception);
  EXPECT_THROW((void)plan_feature_leaves(-1), Exception);
  EXPECT_THROW((void)plan_head_leaves(-1, 4), Exception);
  EXPECT_THROW((void)kv_groups_of_heads({0, 4}, 4, 3), Exception);
  EXPECT_THROW((void)kv_groups_of_heads({0, 4}, 4, 0), Exception);
  EXPECT_THROW((void)kv_groups_of_heads({0, 5}, 4, 2), Exception);
  try {
    (void)leaves_of_rank(8, 2, 2);
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().message, "rank is 2, with tp 2 it is 0 to 1");
    EXPECT_NE(std::string(failure.error().at.file).find("shard_plan_test.cc"), std::string::npos);
  }
}

}  // namespace
}  // namespace cardloom
