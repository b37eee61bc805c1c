#include "cardloom/oplog/op_log.h"

#include <gtest/gtest.h>

namespace cardloom {
namespace {

TEST(OpLog, TellsWhoCalledWhatWhereWithWhichOperands) {
  OpLog log(1, 2);
  const OpScope layer(log, "text.layers", 17);
  const OpScope part(log, "mlp");
  const Operand operands[] = {
      {make_view(nullptr, DType::kBF16, {3, 2304}).slice(1, 0, 2048)},
      {make_view(nullptr, DType::kBF16, {4096, 2048}), OperandRole::kWeight}};
  OpRecord& record = log.open(OpId::kMatmulAllReduce, operands, 2, Location::current());
  const unsigned line = __LINE__ - 1;
  const Error error = log.make_error(record, ErrorCode::kInvalidArgument, "K differs: 1 and 2");
  EXPECT_EQ(error.message, "matmul_all_reduce: K differs: 1 and 2");
  EXPECT_EQ(error.detail,
            "operands bf16[3, 2048]{2304, 1}@cpu:0, bf16(4096, 2048); launch 1, rank 1 of 2, "
            "text.layers.17.mlp");
  EXPECT_EQ(error.at.line, line);
  EXPECT_TRUE(std::string_view(error.at.file).ends_with("op_log_test.cc"));
}

TEST(OpLog, KeepsTheNewestRecordsAndForgetsTheOldest) {
  OpLog log;
  for (int index = 0; index < OpLog::kNumRecords + 10; ++index) {
    OpLog::set_state(log.open(OpId::kCopy, nullptr, 0, Location::current()), OpState::kDone);
  }
  const std::vector<OpRecord> all = log.snapshot();
  ASSERT_EQ(all.size(), static_cast<std::size_t>(OpLog::kNumRecords));
  EXPECT_EQ(all.front().sequence, 11U);
  EXPECT_EQ(log.snapshot(log.last_sequence() - 3).size(), 3U);
}

TEST(OpLog, ScopesAreInternedOnceAndNest) {
  OpLog log;
  EXPECT_EQ(log.scope(), "");
  for (int pass = 0; pass < 3; ++pass) {
    for (int layer = 0; layer < 40; ++layer) {
      const OpScope scope(log, "layers", layer);
      const OpScope inner(log, "attention");
      EXPECT_EQ(log.scope(), "layers." + std::to_string(layer) + ".attention");
    }
  }
}

TEST(OpLog, CountsCopiesAlsoOfWhatTheRingForgot) {
  OpLog log;
  for (int launch = 0; launch < 3 * OpLog::kNumRecords; ++launch) {
    OpRecord& record = log.open(OpId::kCopy, nullptr, 0, Location::current());
    record.copies = 2;
    record.copy_bytes = 100;
    log.finish(record, launch % 2 == 0 ? OpState::kDone : OpState::kFailed);
  }
  EXPECT_EQ(log.layout_copies().copies, 6U * OpLog::kNumRecords);
  EXPECT_EQ(log.layout_copies().bytes, 300U * OpLog::kNumRecords);
}

}  // namespace
}  // namespace cardloom
