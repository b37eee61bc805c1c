#include "apps/op_compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace cardloom::app {
namespace {

OperandRecord operand(std::vector<std::int64_t> shape, OperandRole role,
                      std::vector<std::int64_t> stride = {}) {
  OperandRecord record;
  record.role = role;
  record.rank = static_cast<std::int8_t>(shape.size());
  std::copy(shape.begin(), shape.end(), record.shape);
  std::int64_t dense = 1;
  for (int axis = record.rank - 1; axis >= 0; --axis) {
    record.stride[axis] = stride.empty() ? dense : stride[static_cast<std::size_t>(axis)];
    dense *= record.shape[axis];
  }
  return record;
}

OpCall call(OpId op, const char* scope, std::vector<std::int64_t> shape,
            std::uint64_t fingerprint) {
  OpCall made;
  made.record.op = op;
  made.record.fingerprint = fingerprint;
  made.record.num_operands = 1;
  made.record.operands[0] = operand(std::move(shape), OperandRole::kOutput);
  made.scope = scope;
  made.site = "layer.cc:7";
  return made;
}

TEST(CompareCalls, ReplicatedOutputsMustBeEqualOnEveryRank) {
  const std::vector<OpCall> one = {call(OpId::kRmsNorm, "text.0", {3, 8}, 42)};
  EXPECT_FALSE(compare_calls(one, {one, one}).first);
  EXPECT_EQ(compare_calls(one, {one, one}).num_replicated, 1);

  const OpComparison result =
      compare_calls(one, {one, {call(OpId::kRmsNorm, "text.0", {3, 8}, 43)}});
  ASSERT_TRUE(result.first);
  EXPECT_EQ(result.first->op, "rms_norm");
  EXPECT_EQ(result.first->scope, "text.0");
  EXPECT_EQ(result.first->site, "layer.cc:7");
  EXPECT_EQ(result.first->rank, 1);
  EXPECT_EQ(result.first->one, 42U);
  EXPECT_EQ(result.first->many, 43U);
}

TEST(CompareCalls, ColumnsAddUpModulo2To64) {
  const std::vector<OpCall> one = {call(OpId::kMatmul, "a", {3, 8}, 5)};
  const auto columns = [](std::int64_t count, std::uint64_t fingerprint) {
    return std::vector<OpCall>{call(OpId::kMatmul, "a", {3, count}, fingerprint)};
  };
  OpComparison result = compare_calls(one, {columns(5, UINT64_MAX), columns(3, 6)});
  EXPECT_EQ(result.num_added_up, 1);
  EXPECT_EQ(result.num_different, 0);
  result = compare_calls(one, {columns(5, 1), columns(3, 5)});
  ASSERT_TRUE(result.first);
  EXPECT_EQ(result.first->rank, -1);
  EXPECT_EQ(result.first->many, 6U);
}

TEST(CompareCalls, ARankThatOwnsNothingIsNoDifference) {
  const std::vector<OpCall> one = {call(OpId::kMatmul, "a", {3, 8}, 5)};
  const OpComparison result = compare_calls(one, {one, {call(OpId::kMatmul, "a", {3, 0}, 0)}});
  EXPECT_EQ(result.num_replicated, 1);
  EXPECT_EQ(result.num_different, 0);
}

TEST(CompareCalls, OverlappingSharesAreLeftToTheNextOperator) {
  const std::vector<OpCall> one = {call(OpId::kRotaryEmbedding, "a", {3, 8}, 5)};
  const std::vector<OpCall> half = {call(OpId::kRotaryEmbedding, "a", {3, 5}, 9)};
  const OpComparison result = compare_calls(one, {half, half});
  EXPECT_EQ(result.num_covered, 1);
  EXPECT_EQ(result.num_compared(), 0);
}

TEST(CompareCalls, AlikeCallsArePairedByTheirNumber) {
  const std::vector<OpCall> one = {call(OpId::kCopy, "a", {1}, 1), call(OpId::kCopy, "a", {1}, 2)};
  const std::vector<OpCall> swapped = {one[1], one[0]};
  EXPECT_EQ(compare_calls(one, {one, one}).num_different, 0);
  EXPECT_EQ(compare_calls(one, {one, swapped}).num_different, 2);
  EXPECT_EQ(compare_calls(one, {one, {one[0]}}).num_unmatched, 1);
}

TEST(OpCollector, NoticesWhatTheRingLost) {
  OpLog log;
  const auto open = [&log](int count) {
    for (int index = 0; index < count; ++index) {
      OpLog::set_state(log.open(OpId::kCopy, nullptr, 0, Location::current()), OpState::kDone);
    }
  };
  OpCollector collector;
  open(10);
  collector.read(log);
  EXPECT_EQ(collector.calls().size(), 10U);
  EXPECT_EQ(collector.num_lost(), 0U);
  open(OpLog::kNumRecords + 5);
  collector.read(log);
  EXPECT_EQ(collector.num_lost(), 5U);
}

TEST(AuditLayouts, TellsTheLeastRegularInput) {
  const auto with_input = [](std::vector<std::int64_t> stride) {
    OpCall made = call(OpId::kMatmul, "a", {4, 4}, 0);
    made.record.num_operands = 3;
    made.record.operands[1] = operand({4, 4}, OperandRole::kInput);
    made.record.operands[2] = operand({4, 4}, OperandRole::kInput, std::move(stride));
    made.record.copies = 1;
    made.record.copy_bytes = 32;
    return made;
  };
  const std::vector<LayoutRow> rows = audit_layouts(
      {{with_input({4, 1}), with_input({9, 1}), with_input({1, 4})}, {with_input({16, 1})}});
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_STREQ(rows[0].layout, "contiguous");
  EXPECT_STREQ(rows[1].layout, "strided rows");
  EXPECT_EQ(rows[1].calls, 2);
  EXPECT_EQ(rows[1].copies, 2);
  EXPECT_EQ(rows[1].bytes, 64);
  EXPECT_STREQ(rows[2].layout, "strided");
}

}  // namespace
}  // namespace cardloom::app
