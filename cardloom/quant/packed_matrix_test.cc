#include "cardloom/quant/packed_matrix.h"

#include <gtest/gtest.h>

#include <vector>

#include "cardloom/base/error.h"

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
