#include "cardloom/engine/scheduler.h"

#include <gtest/gtest.h>

#include <ostream>

namespace cardloom {

static bool operator==(const ScheduledRows& a, const ScheduledRows& b) {
  return a.sequence_id == b.sequence_id && a.first_row == b.first_row && a.num_rows == b.num_rows &&
         a.num_logits == b.num_logits;
}
static std::ostream& operator<<(std::ostream& out, const ScheduledRows& rows) {
  return out << "{" << rows.sequence_id << ": " << rows.first_row << " + " << rows.num_rows << ", "
             << rows.num_logits << " logits}";
}

namespace {

using Rows = std::vector<ScheduledRows>;

constexpr std::int64_t kContext = 40;
constexpr std::int64_t kBlockSize = 4;

SchedulerLimits limits(std::int64_t num_blocks = 100) {
  return {.max_sequences = 8,
          .max_rows = 64,
          .max_logits_rows = 16,
          .max_pictures = 2,
          .block_size = kBlockSize,
          .num_blocks = num_blocks,
          .num_picture_slots = 4,
          .max_positions = kContext,
          .aging_steps = 10};
}

/// A prompt of `rows` ids that nobody else has, unless `first_id` is the same.
Request request(std::int32_t rows, std::int32_t first_id, Priority priority = Priority::kNormal) {
  Request request;
  for (std::int32_t row = 0; row < rows; ++row) {
    request.prompt.token_ids.push_back(first_id + row);
    request.prompt.positions.push_back(row);
  }
  request.prompt.next_position = rows;
  request.priority = priority;
  return request;
}

/// Rows 1 to 4 show picture `number`.
Request picture_request(std::int32_t rows, std::int32_t first_id, float number) {
  Request made = request(rows, first_id);
  made.prompt.image_spans.push_back({1, 4, 0});
  made.prompt.images.emplace_back(DType::kF32, std::initializer_list<std::int64_t>{3, 1, 1});
  *made.prompt.images[0].view().at<float>() = number;
  return made;
}

struct Harness {
  explicit Harness(const SchedulerLimits& with) : scheduler(with) {}

  std::uint64_t add(Request request) {
    scheduler.add(std::make_unique<Sequence>(
        ++last_id, std::move(request),
        SequenceOptions{.block_size = kBlockSize, .context_tokens = kContext}));
    return last_id;
  }

  /// A step that gives each sequence whose rows are all computed the token `token`.
  Rows step(std::int32_t token = 0) {
    scheduler.admit();
    const std::vector<ScheduledPicture> pictures = scheduler.schedule_pictures();
    scheduler.begin_pictures(pictures);
    scheduler.end_pictures(pictures, true);
    const Rows rows = scheduler.schedule_rows();
    for (const ScheduledRows& scheduled : rows) {
      Sequence& sequence = *scheduler.find(scheduled.sequence_id);
      sequence.proposal.clear();
      if (scheduled.first_row + scheduled.num_rows >= sequence.num_rows()) {
        sequence.append_token(token);
      }
      scheduler.rows_done(
          sequence, scheduled,
          std::min(scheduled.num_rows, sequence.num_rows() - 1 - scheduled.first_row));
    }
    return rows;
  }

  Sequence& at(std::uint64_t id) { return *scheduler.find(id); }

  Scheduler scheduler;
  std::uint64_t last_id = 0;
};

TEST(Scheduler, NothingToDoGivesNothing) {
  Harness harness(limits());
  EXPECT_TRUE(harness.step().empty());
  EXPECT_TRUE(harness.scheduler.empty());
}

TEST(Scheduler, DecodeRowsComeFirstThenPromptsInOrderOfArrival) {
  Harness harness(limits());
  harness.add(request(5, 100));
  EXPECT_EQ(harness.step(), (Rows{{1, 0, 5, 1}}));
  harness.add(request(7, 200));
  harness.add(request(3, 300));
  EXPECT_EQ(harness.step(), (Rows{{1, 5, 1, 1}, {2, 0, 7, 1}, {3, 0, 3, 1}}));
}

TEST(Scheduler, PromptsAreCutIntoChunksAndAskForTheLastRowsLogitsOnly) {
  SchedulerLimits few = limits();
  few.max_rows = 4;
  Harness harness(few);
  harness.add(request(10, 100));
  EXPECT_EQ(harness.step(), (Rows{{1, 0, 4, 0}}));
  EXPECT_EQ(harness.step(), (Rows{{1, 4, 4, 0}}));
  EXPECT_EQ(harness.step(), (Rows{{1, 8, 2, 1}}));
}

TEST(Scheduler, DecodingSequencesTakeTurnsWhenRowsAreShort) {
  Harness harness(limits());
  for (std::int32_t id = 1; id <= 3; ++id) harness.add(request(3, 100 * id));
  harness.step();
  SchedulerLimits few = limits();
  few.max_rows = 2;
  Harness tight(few);
  for (std::int32_t id = 1; id <= 3; ++id) tight.add(request(1, 100 * id));
  EXPECT_EQ(tight.step(), (Rows{{1, 0, 1, 1}, {2, 0, 1, 1}}));
  EXPECT_EQ(tight.step(), (Rows{{1, 1, 1, 1}, {2, 1, 1, 1}}));  // who decodes goes before prompts
  tight.scheduler.remove(1);
  EXPECT_EQ(tight.step(), (Rows{{2, 2, 1, 1}, {3, 0, 1, 1}}));
  tight.add(request(1, 400));
  tight.step();
  few.max_logits_rows = 1;
  Harness turns(few);
  turns.add(request(1, 100));
  turns.step();
  turns.add(request(2, 200));
  EXPECT_EQ(turns.step(), (Rows{{1, 1, 1, 1}, {2, 0, 1, 0}}));  // its last row waits for logits
}

TEST(Scheduler, PromptLogitsShortenTheChunk) {
  SchedulerLimits few = limits();
  few.max_logits_rows = 4;
  Harness harness(few);
  Request all = request(10, 100);
  all.prompt_logits = true;
  harness.add(std::move(all));
  EXPECT_EQ(harness.step(), (Rows{{1, 0, 4, 4}}));
  EXPECT_EQ(harness.step(), (Rows{{1, 4, 4, 4}}));
  EXPECT_EQ(harness.step(), (Rows{{1, 8, 2, 2}}));
}

TEST(Scheduler, ASecondPromptGoesOnWhereItDiffersFromTheFirst) {
  Harness harness(limits());
  harness.add(request(10, 100));
  harness.step();
  const std::uint64_t same = harness.add(request(10, 100));
  EXPECT_EQ(harness.step()[1], (ScheduledRows{same, 8, 2, 1}));
  EXPECT_EQ(harness.at(same).times.cached_rows, 8);
  EXPECT_EQ(harness.at(same).block_table[1], harness.at(1).block_table[1]);
  EXPECT_NE(harness.at(same).block_table[2], harness.at(1).block_table[2]);
  Request salted = request(10, 100);
  salted.cache_salt = 7;
  const std::uint64_t other = harness.add(std::move(salted));
  EXPECT_EQ(harness.step()[2], (ScheduledRows{other, 0, 10, 1}));
}

TEST(Scheduler, APromptOfWholeBlocksStillComputesItsLastRow) {
  Harness harness(limits());
  harness.add(request(8, 100));
  harness.step();
  harness.scheduler.remove(1);
  harness.add(request(8, 100));
  EXPECT_EQ(harness.step(), (Rows{{2, 4, 4, 1}}));
}

TEST(Scheduler, EqualPromptsOfOneStepAreComputedOnce) {
  Harness harness(limits());
  for (int count = 0; count < 3; ++count) harness.add(request(10, 100));
  EXPECT_EQ(harness.step(), (Rows{{1, 0, 10, 1}}));
  EXPECT_EQ(harness.step(), (Rows{{1, 10, 1, 1}, {2, 8, 2, 1}, {3, 8, 2, 1}}));
}

TEST(Scheduler, WhatASequenceGeneratedIsFoundByTheNextTurn) {
  Harness harness(limits());
  harness.add(request(6, 100));
  for (std::int32_t token = 500; token < 507; ++token) harness.step(token);
  harness.scheduler.remove(1);
  Request next = request(6, 100);
  for (std::int32_t row = 6; row < 14; ++row) {
    next.prompt.token_ids.push_back(494 + row);
    next.prompt.positions.push_back(row);
  }
  harness.add(std::move(next));
  EXPECT_EQ(harness.step(), (Rows{{2, 12, 2, 1}}));
}

TEST(Scheduler, TheSamePictureIsEncodedOnce) {
  Harness harness(limits());
  harness.add(picture_request(6, 100, 1));
  harness.add(picture_request(6, 200, 1));
  harness.add(picture_request(6, 300, 2));
  harness.scheduler.admit();
  const std::vector<ScheduledPicture> pictures = harness.scheduler.schedule_pictures();
  ASSERT_EQ(pictures.size(), 2U);
  EXPECT_EQ(pictures[0].sequence_id, 1U);
  EXPECT_EQ(pictures[1].sequence_id, 3U);
  EXPECT_EQ(harness.scheduler.users_of_slot(pictures[0].slot), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_TRUE(harness.scheduler.schedule_rows().empty());
  EXPECT_EQ(harness.step().size(), 3U);
  // All rows of pictures are computed: nobody needs their slots any more.
  EXPECT_EQ(harness.scheduler.slots().cache().num_used(), 0);
  EXPECT_EQ(harness.scheduler.slots().cache().num_idle(), 2);
}

TEST(Scheduler, TheLastInOrderGivesWayAndComesBackWithItsTokens) {
  Harness harness(limits(10));  // one context; each of the two grows to 6 blocks
  harness.add(request(12, 100));
  harness.add(request(12, 200));
  std::int32_t steps = 0;
  while (harness.scheduler.counts().preemptions == 0) {
    ASSERT_LT(++steps, 20);
    harness.step(steps);
  }
  EXPECT_EQ(harness.at(2).times.preemptions, 1);
  EXPECT_EQ(harness.scheduler.num_running(), 1);
  const std::int64_t rows = harness.at(2).num_rows();
  EXPECT_GT(rows, 13);
  harness.scheduler.remove(1);
  const Rows again = harness.step();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].first_row + again[0].num_rows, rows);
  EXPECT_EQ(again[0].num_logits, 1);
  EXPECT_EQ(harness.at(2).num_rows(), rows + 1);
}

TEST(Scheduler, HigherClassesGoFirstAndMaySendOthersAway) {
  SchedulerLimits one = limits();
  one.max_sequences = 1;
  Harness harness(one);
  harness.add(request(4, 100, Priority::kLow));
  harness.step();
  harness.add(request(4, 200, Priority::kLow));
  harness.add(request(4, 300, Priority::kNormal));
  harness.add(request(4, 400, Priority::kHigh));
  EXPECT_EQ(harness.step(), (Rows{{4, 0, 4, 1}}));
  harness.scheduler.remove(4);
  EXPECT_EQ(harness.step(), (Rows{{3, 0, 4, 1}}));
  harness.scheduler.remove(3);
  EXPECT_EQ(harness.step().front().sequence_id, 1U);
}

TEST(Scheduler, WithAgeALowerClassHoldsItsPlace) {
  SchedulerLimits one = limits();
  one.max_sequences = 1;
  Harness harness(one);
  harness.add(request(4, 100, Priority::kLow));
  for (int step = 0; step < 21; ++step) harness.step();
  harness.add(request(4, 200, Priority::kHigh));
  EXPECT_EQ(harness.step().front().sequence_id, 1U);
}

TEST(Scheduler, TellsWhoLacksAPlace) {
  SchedulerLimits one = limits();
  one.max_sequences = 1;
  Harness harness(one);
  harness.add(request(4, 100));
  harness.step();
  EXPECT_EQ(harness.scheduler.num_waiting_for_place(), 0);
  harness.add(request(4, 200));
  harness.add(request(4, 300));
  harness.step();
  EXPECT_EQ(harness.scheduler.num_waiting(), 2);
  EXPECT_EQ(harness.scheduler.num_waiting_for_place(), 2);
  harness.scheduler.remove(1);  // a place is free, but that is what they have waited for
  EXPECT_EQ(harness.scheduler.num_waiting_for_place(), 2);
  harness.step();
  EXPECT_EQ(harness.scheduler.num_waiting_for_place(), 1);
}

TEST(Scheduler, NobodyOvertakesTheFirstInOrder) {
  Harness harness(limits(10));
  harness.add(request(20, 100));
  harness.add(request(30, 200));  // 8 blocks of the 5 that are left
  harness.add(request(4, 300));
  EXPECT_EQ(harness.step().size(), 1U);
  EXPECT_EQ(harness.scheduler.num_waiting(), 2);
  EXPECT_EQ(harness.scheduler.num_waiting_for_place(), 0);  // blocks are short
  EXPECT_EQ(harness.step().size(), 1U);
  harness.scheduler.remove(1);
  EXPECT_EQ(harness.step(), (Rows{{2, 0, 30, 1}, {3, 0, 4, 1}}));
}

TEST(Scheduler, ProposesWhatFollowedBefore) {
  SchedulerLimits guessing = limits();
  guessing.max_proposed = 3;
  Harness harness(guessing);
  Request repeated = request(10, 100);
  for (std::int32_t row = 10; row < 13; ++row) {
    repeated.prompt.token_ids.push_back(100 + row - 10);
    repeated.prompt.positions.push_back(row);
  }
  repeated.prompt.next_position = 13;
  repeated.max_tokens = 6;
  harness.add(std::move(repeated));
  harness.step(103);  // the prompt ends with 100 101 102, as it began
  harness.scheduler.admit();
  EXPECT_EQ(harness.scheduler.schedule_rows(), (Rows{{1, 13, 4, 4}}));
  EXPECT_EQ(harness.at(1).proposal, (std::vector<std::int32_t>{104, 105, 106}));
}

}  // namespace
}  // namespace cardloom
