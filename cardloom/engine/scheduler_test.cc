#include "cardloom/engine/scheduler.h"

#include <gtest/gtest.h>

#include <ostream>
#include <random>
#include <vector>

namespace cardloom {

static bool operator==(const ScheduledRows& a, const ScheduledRows& b) {
  return a.sequence == b.sequence && a.first_row == b.first_row && a.num_rows == b.num_rows &&
         a.num_logits == b.num_logits;
}
static std::ostream& operator<<(std::ostream& out, const ScheduledRows& rows) {
  return out << "{" << rows.sequence << ": " << rows.first_row << " + " << rows.num_rows << ", "
             << rows.num_logits << " logits}";
}

namespace {

using Rows = std::vector<ScheduledRows>;

SequenceNeed prompt(std::int64_t rows, std::int64_t cached = 0) {
  return {.num_prompt_rows = rows, .num_rows = rows, .num_cached_rows = cached};
}
SequenceNeed decoding(std::int64_t rows, std::uint64_t last_step) {
  return {.num_prompt_rows = rows - 1,
          .num_rows = rows,
          .num_cached_rows = rows - 1,
          .last_step = last_step};
}
SequenceNeed with_pictures(std::int64_t num, std::int64_t encoded) {
  SequenceNeed need = prompt(10);
  need.num_pictures = num;
  need.num_encoded_pictures = encoded;
  return need;
}

Rows schedule(const std::vector<SequenceNeed>& needs, const StepLimits& limits) {
  return schedule_rows(needs, limits);
}

TEST(Scheduler, NothingToDoGivesNothing) {
  EXPECT_TRUE(schedule({}, {8, 8, 1}).empty());
  EXPECT_TRUE(schedule({with_pictures(2, 1)}, {8, 8, 1}).empty());
}

TEST(Scheduler, DecodeRowsComeFirstThenPromptsInOrderOfArrival) {
  EXPECT_EQ(schedule({prompt(5), decoding(9, 3), prompt(9), decoding(4, 2)}, {12, 8, 1}),
            (Rows{{3, 3, 1, 1}, {1, 8, 1, 1}, {0, 0, 5, 1}, {2, 0, 5, 0}}));
}

TEST(Scheduler, PromptsAreCutIntoChunksAndAskForTheLastRowsLogitsOnly) {
  EXPECT_EQ(schedule({prompt(10)}, {4, 8, 1}), (Rows{{0, 0, 4, 0}}));
  EXPECT_EQ(schedule({prompt(10, 8)}, {4, 8, 1}), (Rows{{0, 8, 2, 1}}));
}

TEST(Scheduler, DecodingSequencesTakeTurnsWhenRowsAreShort) {
  EXPECT_EQ(schedule({decoding(5, 7), decoding(5, 5), decoding(5, 6)}, {2, 8, 1}),
            (Rows{{1, 4, 1, 1}, {2, 4, 1, 1}}));
}

TEST(Scheduler, PromptLogitsShortenTheChunk) {
  SequenceNeed all = prompt(10);
  all.wants_prompt_logits = true;
  EXPECT_EQ(schedule({all, decoding(3, 1)}, {64, 4, 1}), (Rows{{1, 2, 1, 1}, {0, 0, 3, 3}}));
}

TEST(Scheduler, ALastRowWaitsForAStepThatTakesItsLogits) {
  EXPECT_EQ(schedule({decoding(3, 1), prompt(4), prompt(1)}, {64, 1, 1}),
            (Rows{{0, 2, 1, 1}, {1, 0, 3, 0}}));
}

TEST(Scheduler, PicturesComeInOrderUpToTheLimit) {
  const std::vector<SequenceNeed> needs{prompt(3), with_pictures(3, 1), with_pictures(2, 0)};
  const auto pictures = schedule_pictures(needs, {8, 8, 3});
  ASSERT_EQ(pictures.size(), 3U);
  EXPECT_EQ(pictures[0].sequence, 1U);
  EXPECT_EQ(pictures[0].picture, 1);
  EXPECT_EQ(pictures[1].picture, 2);
  EXPECT_EQ(pictures[2].sequence, 2U);
  EXPECT_EQ(pictures[2].picture, 0);
}

struct Played {
  std::vector<SequenceNeed> needs;
  std::vector<std::int64_t> tokens_left;
};

/// Applies a step as the engine would; returns false once nothing is left.
bool play(Played& state, const StepLimits& limits, std::uint64_t step) {
  for (const ScheduledPicture& picture : schedule_pictures(state.needs, limits)) {
    SequenceNeed& need = state.needs[picture.sequence];
    EXPECT_EQ(picture.picture, need.num_encoded_pictures++);
  }
  const Rows rows = schedule(state.needs, limits);
  std::int64_t num_rows = 0;
  std::int64_t num_logits = 0;
  std::vector<bool> seen(state.needs.size());
  for (const ScheduledRows& scheduled : rows) {
    SequenceNeed& need = state.needs[scheduled.sequence];
    EXPECT_FALSE(seen[scheduled.sequence]) << "twice in a step";
    seen[scheduled.sequence] = true;
    EXPECT_FALSE(need.waits_for_pictures());
    EXPECT_EQ(scheduled.first_row, need.num_cached_rows);
    EXPECT_GE(scheduled.num_rows, 1);
    EXPECT_LE(scheduled.first_row + scheduled.num_rows, need.num_rows);
    need.num_cached_rows += scheduled.num_rows;
    need.last_step = step;
    const bool ends_here = need.num_cached_rows == need.num_rows;
    const bool is_prompt = scheduled.first_row < need.num_prompt_rows;
    EXPECT_EQ(scheduled.num_logits, is_prompt && need.wants_prompt_logits ? scheduled.num_rows
                                    : ends_here                           ? 1
                                                                          : 0);
    if (ends_here && --state.tokens_left[scheduled.sequence] > 0) ++need.num_rows;
    num_rows += scheduled.num_rows;
    num_logits += scheduled.num_logits;
  }
  EXPECT_LE(num_rows, limits.max_rows);
  EXPECT_LE(num_logits, limits.max_logits_rows);
  for (std::size_t index = state.needs.size(); index-- > 0;) {
    if (state.tokens_left[index] > 0) continue;
    state.needs.erase(state.needs.begin() + static_cast<std::ptrdiff_t>(index));
    state.tokens_left.erase(state.tokens_left.begin() + static_cast<std::ptrdiff_t>(index));
  }
  return !state.needs.empty();
}

// Whatever the limits and the mix: limits hold, rows come in order and once, everything ends.
TEST(Scheduler, EverySequenceEndsUnderAnyLimits) {
  std::mt19937 random(7);
  const auto below = [&](std::uint32_t bound) {
    return static_cast<std::int64_t>(random() % bound);
  };
  for (int game = 0; game < 300; ++game) {
    const StepLimits limits{1 + below(20), 1 + below(6), 1 + below(3)};
    Played state;
    std::int64_t work = 0;
    for (std::int64_t count = 1 + below(6); count > 0; --count) {
      SequenceNeed need = prompt(1 + below(40));
      need.num_pictures = below(3) == 0 ? below(4) : 0;
      need.wants_prompt_logits = below(4) == 0;
      state.needs.push_back(need);
      state.tokens_left.push_back(1 + below(10));
      work += need.num_rows + need.num_pictures + state.tokens_left.back();
    }
    std::uint64_t step = 1;
    while (play(state, limits, step)) {
      // At least one row or picture a step, so:
      ASSERT_LE(static_cast<std::int64_t>(++step), work + 1) << "game " << game << " starves";
    }
  }
}

}  // namespace
}  // namespace cardloom
