#include "cardloom/backend/backends.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cardloom {
namespace {

using ::testing::HasSubstr;

TEST(Backends, MakesAsManyCardsAsAskedFor) {
  for (const int num_cards : {1, 2, 8}) {
    Result<PlacedCards> placed = make_cards({.num_cards = num_cards, .threads_per_card = 1});
    ASSERT_TRUE(placed) << placed.error().describe();
    ASSERT_EQ(placed->cards.devices.size(), static_cast<std::size_t>(num_cards));
    for (int rank = 0; rank < num_cards; ++rank) {
      EXPECT_EQ(placed->cards.devices[static_cast<std::size_t>(rank)]->id().index, rank);
      EXPECT_EQ(placed->cards.communicator(rank).rank(), rank);
      EXPECT_EQ(placed->cards.communicator(rank).world_size(), num_cards);
    }
    EXPECT_EQ(placed->threads_per_card, 1);
    EXPECT_EQ(placed->instruction_path, placed->cards.devices[0]->instruction_path());
  }
}

TEST(Backends, MoreThreadsThanCoresWorkWithAWarning) {
  Result<PlacedCards> placed = make_cards({.num_cards = 8, .threads_per_card = 64});
  ASSERT_TRUE(placed) << placed.error().describe();
  EXPECT_EQ(placed->threads_per_card, 64);
  EXPECT_FALSE(placed->warning.empty());
}

TEST(Backends, TheSlowestPathRunsEverywhere) {
  Result<PlacedCards> placed = make_cards({.isa = "plain"});
  ASSERT_TRUE(placed) << placed.error().describe();
  EXPECT_EQ(placed->instruction_path, "plain");
}

TEST(Backends, RefusesWhatDoesNotWork) {
  for (const int num_cards : {-1, 0, 9}) {
    const Result<PlacedCards> placed = make_cards({.num_cards = num_cards});
    ASSERT_FALSE(placed);
    EXPECT_EQ(placed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(placed.error().message, HasSubstr("1 to 8"));
  }
  const Result<PlacedCards> threads = make_cards({.threads_per_card = -1});
  ASSERT_FALSE(threads);
  const Result<PlacedCards> isa = make_cards({.isa = "avx1024"});
  ASSERT_FALSE(isa);
  EXPECT_EQ(isa.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cardloom
