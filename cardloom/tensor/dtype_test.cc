#include "cardloom/tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cardloom {
namespace {

TEST(BF16, RoundsToNearestEven) {
  EXPECT_EQ(to_bf16(1.0F).bits, 0x3f80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808000U)).bits, 0x3f80);  // tie, even below
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f818000U)).bits, 0x3f82);  // tie, even above
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808001U)).bits, 0x3f81);
  EXPECT_EQ(to_bf16(INFINITY).bits, 0x7f80);
  EXPECT_TRUE(std::isnan(to_f32(to_bf16(NAN))));
  EXPECT_TRUE(std::isnan(to_f32(to_bf16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_EQ(to_f32(to_bf16(3.4e38F)), INFINITY);
}

TEST(BF16, EveryValueSurvivesARoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const bf16 value{static_cast<std::uint16_t>(bits)};
    if (std::isnan(to_f32(value))) continue;
    ASSERT_EQ(to_bf16(to_f32(value)).bits, bits);
  }
}

TEST(F16, EveryValueSurvivesARoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 value{static_cast<std::uint16_t>(bits)};
    if (std::isnan(to_f32(value))) continue;
    ASSERT_EQ(to_f16(to_f32(value)).bits, bits) << std::hex << bits;
  }
}

TEST(F16, RoundsAndOverflows) {
  EXPECT_EQ(to_f32(f16{0x3c00}), 1.0F);
  EXPECT_EQ(to_f32(f16{0x0001}), 0x1p-24F);
  EXPECT_EQ(to_f16(65519.0F).bits, 0x7bff);
  EXPECT_EQ(to_f16(65520.0F).bits, 0x7c00);
  EXPECT_EQ(to_f16(0x1p-25F).bits, 0x0000);    // tie to even
  EXPECT_EQ(to_f16(0x1.8p-24F).bits, 0x0002);  // tie to even
  EXPECT_EQ(to_f16(-1.0F).bits, 0xbc00);
}

}  // namespace
}  // namespace cardloom
