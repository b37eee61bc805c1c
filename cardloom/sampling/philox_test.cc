#include "cardloom/sampling/philox.h"

#include <gtest/gtest.h>

namespace cardloom {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Random123 1.14, tests/kat_vectors, the lines "philox4x32 10".
TEST(Philox, GivesThePublishedVectors) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformUsesBothHalvesOfSeedAndPosition) {
  const double base = uniform(1, 1);
  EXPECT_NE(base, uniform(1, 1 + (std::uint64_t{1} << 32)));
  EXPECT_NE(base, uniform(1 + (std::uint64_t{1} << 32), 1));
  EXPECT_EQ(base, uniform(1, 1));
}

TEST(Philox, UniformIsEvenOverTheUnitInterval) {
  constexpr int kBins = 16;
  constexpr int kDraws = 160'000;
  int counts[kBins] = {};
  for (int position = 0; position < kDraws; ++position) {
    const double value = uniform(42, static_cast<std::uint64_t>(position));
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    ++counts[static_cast<int>(value * kBins)];
  }
  double chi_square = 0;
  for (const int count : counts) {
    const double difference = count - kDraws / kBins;
    chi_square += difference * difference / (kDraws / kBins);
  }
  EXPECT_LT(chi_square, 37.7);  // 15 degrees of freedom: exceeded once in 1000 seeds
}

}  // namespace
}  // namespace cardloom
