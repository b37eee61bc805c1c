#include "cardloom/engine/sequence.h"

#include <gtest/gtest.h>

#include <limits>
#include <utility>

namespace cardloom {
namespace {

using Int32s = std::vector<std::int32_t>;
using Int64s = std::vector<std::int64_t>;

/// Ids 10 11 P P P P 12 with the picture's rows at positions 2 3 3 4.
Sequence make_sequence() {
  Request request;
  request.prompt.token_ids = {10, 11, 90, 90, 90, 90, 12};
  request.prompt.positions = {0, 1, 2, 3, 3, 4, 5};
  request.prompt.next_position = 6;
  request.prompt.image_spans = {{2, 6, 0}};
  request.prompt.images.emplace_back(DType::kF32, std::initializer_list<std::int64_t>{3, 4, 4});
  Sequence sequence(1, std::move(request), {.block_size = 4, .context_tokens = 100});
  sequence.pictures[0].slot = 5;
  sequence.block_table = {7, 3, 4};
  return sequence;
}

TEST(Sequence, AGeneratedTokensPositionAndRowDiffer) {
  Sequence sequence = make_sequence();
  EXPECT_EQ(sequence.num_prompt_rows(), 7);
  EXPECT_EQ(sequence.position(6), 5);
  EXPECT_EQ(sequence.position(7), 6);
  sequence.append_token(20);
  sequence.append_token(21);
  EXPECT_EQ(sequence.num_rows(), 9);
  EXPECT_EQ(sequence.num_generated(), 2);
  EXPECT_EQ(sequence.position(8), 7);
  StepPlan plan;
  append_rows(plan, sequence, {0, 8, 1, 1}, 4);
  EXPECT_EQ(plan.token_ids, (Int32s{21}));
  EXPECT_EQ(plan.positions, (Int32s{7}));
  EXPECT_EQ(plan.context_lens, (Int32s{9}));
  EXPECT_EQ(plan.slot_mapping, (Int64s{4 * 4 + 0}));
  EXPECT_EQ(plan.logits_rows, (Int32s{0}));
}

TEST(Sequence, APicturesRowsMayBeSplitBetweenChunks) {
  const Sequence sequence = make_sequence();
  StepPlan first;
  append_rows(first, sequence, {0, 0, 4, 0}, 4);
  EXPECT_EQ(first.token_ids, (Int32s{10, 11, 90, 90}));
  EXPECT_EQ(first.slot_mapping, (Int64s{28, 29, 30, 31}));
  EXPECT_TRUE(first.logits_rows.empty());
  ASSERT_EQ(first.image_rows.size(), 1U);
  EXPECT_EQ(first.image_rows[0].first_row, 2);
  EXPECT_EQ(first.image_rows[0].slot, 5);
  EXPECT_EQ(first.image_rows[0].begin, 0);
  EXPECT_EQ(first.image_rows[0].end, 2);

  StepPlan second;
  append_rows(second, sequence, {0, 4, 3, 1}, 4);
  EXPECT_EQ(second.positions, (Int32s{3, 4, 5}));
  EXPECT_EQ(second.context_lens, (Int32s{5, 6, 7}));
  EXPECT_EQ(second.logits_rows, (Int32s{2}));
  ASSERT_EQ(second.image_rows.size(), 1U);
  EXPECT_EQ(second.image_rows[0].first_row, 0);
  EXPECT_EQ(second.image_rows[0].begin, 2);
  EXPECT_EQ(second.image_rows[0].end, 4);
}

TEST(Sequence, APlanNumbersSequencesAndPadsTheirTables) {
  const Sequence with_picture = make_sequence();
  Request request;
  request.prompt.token_ids = {1, 2};
  request.prompt.positions = {0, 1};
  Sequence short_one(2, std::move(request), {.block_size = 4, .context_tokens = 100});
  short_one.block_table = {9};
  StepPlan plan;
  append_rows(plan, short_one, {0, 0, 2, 1}, 4);
  append_rows(plan, with_picture, {1, 1, 2, 2}, 4);
  const Sequence* sequences[] = {&short_one, &with_picture};
  append_block_tables(plan, sequences);
  EXPECT_EQ(plan.token_sequences, (Int32s{0, 0, 1, 1}));
  EXPECT_EQ(plan.logits_rows, (Int32s{1, 2, 3}));
  EXPECT_EQ(plan.max_blocks, 3);
  EXPECT_EQ(plan.block_tables, (Int32s{9, 0, 0, 7, 3, 4}));
  ASSERT_EQ(plan.image_rows.size(), 1U);
  EXPECT_EQ(plan.image_rows[0].first_row, 3);
}

TEST(Sequence, KnowsHowManyRowsItMayNeed) {
  EXPECT_EQ(make_sequence().max_rows(), 100);
  const auto rows_of = [](std::int64_t max_tokens, std::int64_t context) {
    Request request;
    request.prompt.token_ids.assign(7, 1);
    request.prompt.positions.assign(7, 0);
    request.max_tokens = max_tokens;
    return Sequence(1, std::move(request), {.block_size = 4, .context_tokens = context}).max_rows();
  };
  EXPECT_EQ(rows_of(5, 100), 12);
  EXPECT_EQ(rows_of(5, 10), 10);
  EXPECT_EQ(rows_of(std::numeric_limits<std::int64_t>::max(), 100), 100);
}

/// The keys of both blocks of a sequence that is make_sequence() but for what `change` does to it.
template <class Change>
std::pair<ContentHash, ContentHash> keys_with(Change change) {
  Request request;
  request.prompt.token_ids = {10, 11, 90, 90, 90, 90, 12, 13};
  request.prompt.positions = {0, 1, 2, 3, 3, 4, 5, 6};
  request.prompt.next_position = 7;
  request.prompt.image_spans = {{2, 6, 0}};
  request.prompt.images.emplace_back(DType::kF32, std::initializer_list<std::int64_t>{3, 4, 4});
  change(request);
  Sequence sequence(1, std::move(request), {.block_size = 4, .context_tokens = 100});
  return {sequence.block_key(0), sequence.block_key(1)};
}

TEST(Sequence, ABlocksKeyStandsForAllThatItsRowsSee) {
  const auto same = [](Request&) {};
  const auto keys = keys_with(same);
  EXPECT_EQ(keys_with(same), keys);
  EXPECT_NE(keys.first, keys.second);
  const auto differs_from_the_start = [&](auto change) {
    const auto other = keys_with(change);
    EXPECT_NE(other.first, keys.first);
    EXPECT_NE(other.second, keys.second);
  };
  differs_from_the_start([](Request& request) { request.prompt.token_ids[1] = 12; });
  differs_from_the_start([](Request& request) { request.prompt.positions[3] = 4; });
  differs_from_the_start([](Request& request) { request.cache_salt = 1; });
  differs_from_the_start(
      [](Request& request) { *request.prompt.images[0].view().at<float>() = 1; });
  differs_from_the_start([](Request& request) { request.prompt.image_spans[0] = {1, 5, 0}; });
  differs_from_the_start([](Request& request) {
    request.prompt.images.clear();
    request.prompt.image_spans.clear();
  });
  const auto late = keys_with([](Request& request) { request.prompt.token_ids[7] = 14; });
  EXPECT_EQ(late.first, keys.first);
  EXPECT_NE(late.second, keys.second);
}

TEST(Sequence, AGeneratedTokenIsHashedLikeOneOfThePrompt) {
  const auto make = [](std::vector<std::int32_t> ids) {
    Request request;
    for (std::size_t row = 0; row < ids.size(); ++row) {
      request.prompt.positions.push_back(static_cast<std::int32_t>(row));
    }
    request.prompt.next_position = static_cast<std::int32_t>(ids.size());
    request.prompt.token_ids = std::move(ids);
    return Sequence(1, std::move(request), {.block_size = 2, .context_tokens = 100});
  };
  Sequence generated = make({1, 2, 3});
  generated.append_token(4);
  EXPECT_EQ(generated.block_key(1), make({1, 2, 3, 4}).block_key(1));
}

}  // namespace
}  // namespace cardloom
