#include "cardloom/engine/step_activity.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace cardloom {
namespace {

CardSpan span(std::string layer, std::int64_t begin, std::int64_t end, std::string op = "matmul",
              std::int64_t wait = 0) {
  return {.rank = 0,
          .op = std::move(op),
          .layer = std::move(layer),
          .begin = begin,
          .end = end,
          .wait = wait};
}

TEST(StepActivity, FewSpansStayAsTheyAre) {
  const auto spans = merge_spans({span("a.b", 0, 1), span("a.b", 1, 2)}, 2);
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[1].begin, 1);
  EXPECT_TRUE(merge_spans({}, 2).empty());
}

TEST(StepActivity, NeighboursOfALayerBecomeOneNamedAfterTheLongest) {
  const auto spans = merge_spans({span("text.layers.0.mlp", 0, 10, "rms_norm"),
                                  span("text.layers.0.mlp", 12, 90, "matmul_all_reduce", 7),
                                  span("text.layers.0.mlp", 90, 95, "silu_and_mul", 1),
                                  span("text.layers.1.mlp", 95, 99, "rms_norm")},
                                 2);
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0].layer, "text.layers.0.mlp");
  EXPECT_EQ(spans[0].op, "matmul_all_reduce");
  EXPECT_EQ(spans[0].begin, 0);
  EXPECT_EQ(spans[0].end, 95);
  EXPECT_EQ(spans[0].wait, 8);
  EXPECT_EQ(spans[1].op, "rms_norm");
}

TEST(StepActivity, NamesAreShortenedUntilTheSpansAreFewEnough) {
  std::vector<CardSpan> all;
  for (int layer = 0; layer < 40; ++layer) {
    for (const char* part : {"attention", "mlp"}) {
      for (int op = 0; op < 8; ++op) {
        const auto at = static_cast<std::int64_t>(all.size());
        all.push_back(span(fmt::format("text.layers.{}.{}", layer, part), at, at + 1));
      }
    }
  }
  EXPECT_EQ(merge_spans(all, 400).size(), 80U);
  const auto layers = merge_spans(all, 79);
  ASSERT_EQ(layers.size(), 40U);
  EXPECT_EQ(layers[39].layer, "text.layers.39");
  const auto text = merge_spans(all, 39);
  ASSERT_EQ(text.size(), 1U);
  EXPECT_EQ(text[0].layer, "text.layers");
  EXPECT_EQ(text[0].begin, 0);
  EXPECT_EQ(text[0].end, 640);
}

TEST(StepActivity, InTheEndAllBecomeOne) {
  EXPECT_EQ(merge_spans({span("a", 0, 1), span("b", 1, 2), span("a", 2, 3)}, 2).size(), 1U);
}

OpRecord& run(OpLog& log, OpId op, std::int64_t begin, std::int64_t end) {
  OpRecord& record = log.open(op, nullptr, 0, Location::current());
  OpLog::set_state(record, OpState::kRunning);
  log.finish(record, OpState::kDone);
  record.started_ns = begin;
  record.finished_ns = end;
  return record;
}

TEST(StepActivity, AnExchangesWaitIsTheTimeUntilTheLastCardCame) {
  OpLog a(0, 2);
  OpLog b(1, 2);
  run(a, OpId::kCopy, 1, 2);  // before the step
  const std::vector<std::uint64_t> after{a.last_sequence(), b.last_sequence()};
  {
    const OpScope scope(a, "text");
    run(a, OpId::kRmsNorm, 100, 110);
    run(a, OpId::kMatmulAllReduce, 110, 160);
  }
  const OpScope scope(b, "text");
  run(b, OpId::kRmsNorm, 130, 140);
  run(b, OpId::kMatmulAllReduce, 140, 160);
  const std::vector<CardSpan> spans = card_spans({&a, &b}, after, 100);
  ASSERT_EQ(spans.size(), 4U);
  EXPECT_EQ(spans[0].op, "rms_norm");
  EXPECT_EQ(spans[0].layer, "text");
  EXPECT_EQ(spans[0].wait, 0);  // no exchange
  EXPECT_EQ(spans[1].begin, 10);
  EXPECT_EQ(spans[1].end, 60);
  EXPECT_EQ(spans[1].wait, 30);
  EXPECT_EQ(spans[3].rank, 1);
  EXPECT_EQ(spans[3].wait, 0);
}

}  // namespace
}  // namespace cardloom
