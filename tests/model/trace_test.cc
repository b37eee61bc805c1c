#include "cardloom/layers/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/card.h"

namespace cardloom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TraceTest, JoinsPartsInOrder) {
  Card card(cpu::Isa::kPlain);
  const Tensor first(DType::kF32, {2, 3});
  const Tensor second(DType::kBF16, {4, 6});
  for (int index = 0; index < 6; ++index) first.view().at<float>()[index] = 1;
  for (int index = 0; index < 24; ++index) second.view().at<bf16>()[index] = to_bf16(2);
  Trace trace;
  trace.capture(card.stream, "text.layer.0", first);
  trace.capture(card.stream, "text.layer.0", second.view().slice(0, 0, 1).slice(1, 0, 3));
  EXPECT_THAT(message_of([&] { trace.capture(card.stream, "text.layer.0", second); }),
              HasSubstr("trace of text.layer.0"));
  card.stream.synchronize();
  const Tensor rows = trace.rows("text.layer.0");
  EXPECT_EQ(to_string(rows.view()), "f32[3, 3]{3, 1}@cpu:0");
  EXPECT_EQ(*rows.view().at<float>(1, 2), 1.0F);
  EXPECT_EQ(*rows.view().at<float>(2, 2), 2.0F);
  EXPECT_THAT(trace.names(), ElementsAre("text.layer.0"));
  EXPECT_EQ(message_of([&] { static_cast<void>(trace.rows("vision.conv")); }),
            "nothing was traced as vision.conv");
  EXPECT_EQ(trace.take_picture_number(), 0);
  EXPECT_EQ(trace.take_picture_number(), 1);
}

}  // namespace
}  // namespace cardloom::testing
