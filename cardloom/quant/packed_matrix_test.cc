#include "cardloom/quant/packed_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/quant/activation_group.h"

namespace cardloom {
namespace {

std::vector<float> counting(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 251) - 100.0F;
  return values;
}

TEST(PackPiece, KeepsEveryElementOfAnyLayout) {
  std::vector<float> values = counting(200 * 70);
  const TensorView whole = make_view(values.data(), DType::kF32, {200, 70});
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16}) {
    for (const std::int64_t N : {1, 16, 17, 32, 33, 70}) {
      for (const std::int64_t K : {1, 2, 7, 70}) {
        for (const TensorView& w : {whole.slice(0, 3, 3 + N).slice(1, 0, K),
                                    whole.slice(1, 0, N).transpose(0, 1).slice(1, 0, K),
                                    whole.slice(0, 0, N).reverse(0).slice(1, 0, K).reverse(1)}) {
          const PackedWeight packed = PackedWeight::whole(w, format);
          const PackedPiece& piece = packed.matrix().pieces[0];
          for (std::int64_t n = 0; n < N; ++n) {
            for (std::int64_t k = 0; k < K; ++k) {
              ASSERT_EQ(packed_element(piece, format, n, k), *w.at<float>(n, k));
            }
          }
        }
      }
    }
  }
}

/// The largest |w - packed w| of a group against what half a step of its scale allows.
void expect_within_half_a_step(WeightFormat format, std::int64_t N, std::int64_t K) {
  std::vector<float> values(static_cast<std::size_t>(N * K));
  std::uint32_t state = 12345;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) * 0x1p-23F - 0.8F;  // more often positive
  }
  const TensorView w = make_view(values.data(), DType::kF32, {N, K});
  const PackedWeight packed = PackedWeight::whole(w, format);
  const PackedPiece& piece = packed.matrix().pieces[0];
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::int64_t k = 0; k < K; ++k) {
      const QuantisedElement element = packed_quantised(piece, format, n, k);
      const float error = std::fabs(packed_element(piece, format, n, k) - *w.at<float>(n, k));
      // Half a step; q4 has no +8, so the number opposite the largest may miss by a whole one; a
      // scale rounded to f16 moves the largest by 2^-11 of 127 steps.
      const float steps = format.encoding == Encoding::kQ4 ? 1.01F : 0.57F;
      ASSERT_LE(error, steps * std::fabs(element.scale) + 1e-6F)
          << to_string(format) << " " << n << " " << k;
    }
  }
}

TEST(PackedWeight, QuantisedNumbersAreWithinHalfAStep) {
  for (const Encoding encoding : {Encoding::kQ8, Encoding::kQ4, Encoding::kQ4Z}) {
    for (const std::int16_t group : std::initializer_list<std::int16_t>{32, 64, 128}) {
      for (const std::int64_t K : {1, 31, 64, 333}) {
        expect_within_half_a_step({encoding, group}, 37, K);
      }
    }
  }
}

TEST(PackedWeight, WhatCannotBeQuantisedIsRefused) {
  for (const float bad : {NAN, INFINITY, 1e8F}) {
    std::vector<float> values(64, 1);
    values[40] = bad;
    const TensorView w = make_view(values.data(), DType::kF32, {2, 32});
    EXPECT_THROW((void)PackedWeight::whole(w, {Encoding::kQ8, 32}), Exception) << bad;
    EXPECT_NO_THROW((void)PackedWeight::whole(w, WeightFormat::kBF16));
  }
  std::vector<float> zeros(64, 0);
  const PackedWeight packed =
      PackedWeight::whole(make_view(zeros.data(), DType::kF32, {2, 32}), {Encoding::kQ4Z, 32});
  EXPECT_EQ(packed_element(packed.matrix().pieces[0], {Encoding::kQ4Z, 32}, 1, 31), 0);
}

TEST(WeightFormatNames, AreReadAndWritten) {
  for (const char* name : {"f32", "bf16", "q8:32", "q4:64", "q4z:128"}) {
    EXPECT_EQ(to_string(parse_weight_format(name).value_or_throw()), name);
  }
  EXPECT_EQ(to_string(parse_weight_format("q4").value_or_throw()), "q4:32");
  for (const char* name : {"", "q5", "q8:", "q8:33", "bf16:32", "q4:64:1", "Q8"}) {
    EXPECT_FALSE(parse_weight_format(name).has_value()) << name;
  }
}

TEST(ActivationGroups, FollowTheirDefinition) {
  const float x[] = {1.0F, -2.0F, 0.5F, 127.0F};
  std::int8_t q[4];
  ActivationGroup group = quantise_activations(x, 4, q);
  EXPECT_EQ(group.scale, 1.0F);
  EXPECT_EQ(group.sum, 1 - 2 + 0 + 127);  // 0.5 rounds to even
  const float tiny[] = {1e-38F, -1e-38F};
  group = quantise_activations(tiny, 2, q);
  EXPECT_EQ(group.scale, 0);
  EXPECT_EQ(q[0], 0);
  const float bad[] = {1.0F, INFINITY};
  group = quantise_activations(bad, 2, q);
  EXPECT_TRUE(std::isnan(group.scale));
  EXPECT_EQ(group.sum, 0);
  EXPECT_EQ(q[0], 0);
}

TEST(PackedWeight, LeavesAreRangesOfK) {
  std::vector<float> values = counting(5 * 20);
  const TensorView w = make_view(values.data(), DType::kF32, {5, 20});
  const std::int64_t borders[] = {0, 3, 10, 20};
  const PackedWeight packed = PackedWeight::leaves(w, WeightFormat::kBF16, borders, 3, 1, 3);
  const PackedMatrix matrix = packed.matrix();
  EXPECT_EQ(matrix.K, 17);
  EXPECT_EQ(matrix.num_pieces, 2);
  EXPECT_EQ(matrix.pieces[1].k_begin, 7);
  EXPECT_EQ(packed_element(matrix.pieces[1], WeightFormat::kBF16, 4, 9), *w.at<float>(4, 19));
  EXPECT_EQ(PackedWeight::leaves(w, WeightFormat::kF32, borders, 3, 3, 3).matrix().K, 0);
}

TEST(PackedWeight, ColumnsMustShareK) {
  std::vector<float> values = counting(40);
  PackedWeight weight =
      PackedWeight::whole(make_view(values.data(), DType::kF32, {4, 10}), WeightFormat::kF32);
  weight.add_columns(make_view(values.data(), DType::kF32, {2, 10}), WeightFormat::kF32, 8);
  EXPECT_EQ(weight.matrix().N, 10);
  EXPECT_THROW(
      weight.add_columns(make_view(values.data(), DType::kF32, {2, 9}), WeightFormat::kF32, 4),
      Exception);
}

TEST(SubtreeRoots, OfEveryCutAddUpToTheWholeTree) {
  for (int num_leaves = 1; num_leaves <= kMaxLeaves; ++num_leaves) {
    for (int begin = 0; begin <= num_leaves; ++begin) {
      for (int end = begin; end <= num_leaves; ++end) {
        LeafRange roots[kMaxRoots];
        const int count = subtree_roots(num_leaves, {begin, end}, roots);
        int next = begin;
        for (int root = 0; root < count; ++root) {
          EXPECT_EQ(roots[root].begin, next);
          next = roots[root].end;
        }
        EXPECT_EQ(next, begin == end ? begin : end);
      }
    }
  }
  LeafRange roots[kMaxRoots];
  EXPECT_EQ(subtree_roots(8, {0, 8}, roots), 1);
  EXPECT_EQ(subtree_roots(8, {0, 3}, roots), 2);
  EXPECT_EQ(subtree_roots(8, {1, 7}, roots), 4);
  EXPECT_EQ(split_node({0, 8}), 4);
  EXPECT_EQ(split_node({0, 7}), 4);
  EXPECT_EQ(split_node({4, 6}), 5);
}

}  // namespace
}  // namespace cardloom
