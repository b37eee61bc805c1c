#include "cardloom/engine/ngram_proposer.h"

#include <gtest/gtest.h>

namespace cardloom {
namespace {

using Ids = std::vector<std::int32_t>;

TEST(NgramProposer, ProposesWhatFollowedTheLastThreeTokens) {
  EXPECT_EQ(propose_by_lookup(Ids{1, 2, 3, 4, 5, 6, 1, 2, 3}, 2), (Ids{4, 5}));
  EXPECT_EQ(propose_by_lookup(Ids{1, 2, 3, 4, 5, 6, 1, 2, 3}, 9), (Ids{4, 5, 6, 1, 2, 3}));
}

TEST(NgramProposer, TheLastEarlierPlaceCounts) {
  EXPECT_EQ(propose_by_lookup(Ids{1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3}, 1), (Ids{5}));
}

TEST(NgramProposer, ThreeTokensGoBeforeTwo) {
  EXPECT_EQ(propose_by_lookup(Ids{1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3}, 1), (Ids{4}));
  EXPECT_EQ(propose_by_lookup(Ids{9, 2, 3, 5, 1, 2, 3}, 1), (Ids{5}));
}

TEST(NgramProposer, ARunOfOneTokenGoesOn) {
  EXPECT_EQ(propose_by_lookup(Ids{7, 7, 7, 7}, 5), (Ids{7}));
  EXPECT_EQ(propose_by_lookup(Ids{7, 7, 7}, 5), (Ids{7}));
}

TEST(NgramProposer, NothingIsProposedWithoutAnEarlierPlace) {
  EXPECT_TRUE(propose_by_lookup(Ids{}, 5).empty());
  EXPECT_TRUE(propose_by_lookup(Ids{1}, 5).empty());
  EXPECT_TRUE(propose_by_lookup(Ids{1, 2}, 5).empty());
  EXPECT_TRUE(propose_by_lookup(Ids{1, 2, 3, 4}, 5).empty());
  EXPECT_TRUE(propose_by_lookup(Ids{1, 2, 3, 1}, 5).empty());
}

}  // namespace
}  // namespace cardloom
