// The oracle itself, against values computed by hand and formulae in f64.
#include "cardloom/ops/reference/reference.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cardloom/base/error.h"
#include "tests/support/layouts.h"

namespace cardloom {
namespace {

using testing::assign;
using testing::contiguous;
using testing::fill;
using testing::LaidOut;
using testing::to_values;

const KernelContext kNoContext{};

void expect_near(const TensorView& view, const std::vector<double>& expected, double tolerance) {
  const std::vector<double> values = to_values(view);
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t index = 0; index < values.size(); ++index) {
    EXPECT_NEAR(values[index], expected[index], tolerance) << "element " << index;
  }
}

TEST(Reference, RmsNormByHand) {
  const LaidOut x = contiguous(DType::kF32, {2, 2});
  const LaidOut weight = contiguous(DType::kF32, {2});
  const LaidOut out = contiguous(DType::kF32, {2, 2});
  assign(x, {3, 4, 0, 0});
  assign(weight, {1, 10});
  // mean square 12.5; with eps 3.5 the root is 4. A row of zeros stays zero.
  reference::rms_norm(kNoContext, {x, weight, out, 3.5F});
  expect_near(out, {0.75, 10, 0, 0}, 1e-6);
}

TEST(Reference, LayerNormByHand) {
  const LaidOut x = contiguous(DType::kF32, {1, 4});
  const LaidOut weight = contiguous(DType::kF32, {4});
  const LaidOut bias = contiguous(DType::kF32, {4});
  const LaidOut residual = contiguous(DType::kF32, {1, 4});
  const LaidOut out = contiguous(DType::kF32, {1, 4});
  assign(x, {1, 3, 5, 7});  // mean 4, variance 5
  assign(weight, {1, 1, 2, 2});
  assign(bias, {0, 1, 0, 1});
  assign(residual, {10, 20, 30, 40});
  reference::layer_norm(kNoContext, {x, weight, bias, TensorView{}, out, 4.0F});  // divides by 3
  expect_near(out, {-1, 1 - 1.0 / 3, 2.0 / 3, 3}, 1e-6);
  reference::layer_norm(kNoContext, {x, weight, bias, residual, out, 4.0F});
  expect_near(out, {9, 21 - 1.0 / 3, 30 + 2.0 / 3, 43}, 1e-5);
}

TEST(Reference, RotaryTurnsNeighbouringPairs) {
  const LaidOut positions = contiguous(DType::kI32, {2});
  const LaidOut cos_sin = contiguous(DType::kF32, {3, 1, 2});
  const LaidOut x = contiguous(DType::kF32, {2, 1, 3});
  assign(positions, {2, 0});
  assign(cos_sin, {1, 0, 9, 9, 0, 1});  // position 0: as it is; position 2: a quarter turn
  assign(x, {5, 7, 11, 5, 7, 11});
  reference::rotary_embedding(kNoContext, {positions, cos_sin, x});
  expect_near(x, {-7, 5, 11, 5, 7, 11}, 0);
}

TEST(Reference, GeluIsTheExactForm) {
  const LaidOut x = contiguous(DType::kF32, {5});
  const LaidOut out = contiguous(DType::kF32, {5});
  assign(x, {0, 1, -1, 3, -6});
  reference::gelu(kNoContext, {x, out});
  // x * normal distribution function; the tanh form differs from 0.8413447 in the 4th digit.
  expect_near(out, {0, 0.8413447461, -0.1586552539, 2.9959503059, -5.91952787e-9}, 3e-7);
  EXPECT_NEAR(to_values(out)[4] / -5.91952787e-9, 1, 1e-5);  // the tail keeps its digits
}

TEST(Reference, SiluAndMulByHand) {
  const LaidOut gate = contiguous(DType::kF32, {3});
  const LaidOut up = contiguous(DType::kF32, {3});
  const LaidOut out = contiguous(DType::kF32, {3});
  assign(gate, {0, 1, -2});
  assign(up, {5, 2, 10});
  reference::silu_and_mul(kNoContext, {gate, up, out});
  expect_near(out, {0, 2 / (1 + std::exp(-1.0)), -20 / (1 + std::exp(2.0))}, 1e-6);
}

TEST(Reference, CopyConvertsToNearestEven) {
  const LaidOut x = contiguous(DType::kF32, {4});
  const LaidOut half = contiguous(DType::kF16, {4});
  const LaidOut brain = contiguous(DType::kBF16, {4});
  assign(x, {1 + 0x1p-8, 1 + 0x1p-8 + 0x1p-20, 65520, -0x1p-25});
  reference::copy(kNoContext, {x, half});
  expect_near(half.view.slice(0, 0, 2), {1 + 0x1p-8, 1 + 0x1p-8}, 0);
  EXPECT_TRUE(std::isinf(to_values(half)[2]));  // 65504 is the largest; 65520 ties to infinity
  EXPECT_EQ(to_values(half)[3], 0);
  reference::copy(kNoContext, {x, brain});
  expect_near(brain.view.slice(0, 0, 2), {1, 1 + 0x1p-7}, 0);  // a tie goes to even, above goes up
}

TEST(Reference, AddAndScaleByHand) {
  const LaidOut a = contiguous(DType::kF32, {2});
  const LaidOut b = contiguous(DType::kBF16, {2});
  const LaidOut out = contiguous(DType::kF16, {2});
  assign(a, {1.5, -2});
  assign(b, {0.25, 4});
  reference::add(kNoContext, {a, b, out});
  expect_near(out, {1.75, 2}, 0);
  reference::scale(kNoContext, {a, out, -4});
  expect_near(out, {-6, 8}, 0);
}

/// softmax(scale * q . k) . v in f64, all keys at once.
std::vector<double> naive_attention(const TensorView& q, const TensorView& k, const TensorView& v,
                                    double scale) {
  const std::int64_t heads = q.shape[1];
  const std::int64_t D = q.shape[2];
  const auto at = [&](const std::vector<double>& values, std::int64_t i, std::int64_t h,
                      std::int64_t d) {
    return values[static_cast<std::size_t>((i * heads + h) * D + d)];
  };
  const std::vector<double> queries = to_values(q);
  const std::vector<double> keys = to_values(k);
  const std::vector<double> values = to_values(v);
  std::vector<double> out;
  for (std::int64_t p = 0; p < q.shape[0]; ++p) {
    for (std::int64_t h = 0; h < heads; ++h) {
      std::vector<double> sums(static_cast<std::size_t>(D));
      double total = 0;
      for (std::int64_t j = 0; j < k.shape[0]; ++j) {
        double score = 0;
        for (std::int64_t d = 0; d < D; ++d) score += at(queries, p, h, d) * at(keys, j, h, d);
        const double weight = std::exp(scale * score);
        total += weight;
        for (std::int64_t d = 0; d < D; ++d) {
          sums[static_cast<std::size_t>(d)] += weight * at(values, j, h, d);
        }
      }
      for (const double sum : sums) out.push_back(sum / total);
    }
  }
  return out;
}

TEST(Reference, AttentionIsSoftmaxOverAllKeys) {
  for (const std::int64_t Pk : {1, 31, 32, 33, 100}) {
    const LaidOut q = contiguous(DType::kF32, {3, 2, 5});
    const LaidOut k = contiguous(DType::kF32, {Pk, 2, 5});
    const LaidOut v = contiguous(DType::kF32, {Pk, 2, 5});
    const LaidOut out = contiguous(DType::kF32, {3, 2, 5});
    fill(q, 1, -3, 3);
    fill(k, 2, -3, 3);
    fill(v, 3);
    reference::attention(kNoContext, {q, k, v, out, 0.5F});
    expect_near(out, naive_attention(q, k, v, 0.5), 1e-6);
  }
}

TEST(Reference, AttentionOverNothingIsZero) {
  const LaidOut q = contiguous(DType::kF32, {1, 1, 2});
  const LaidOut none = contiguous(DType::kF32, {0, 1, 2});
  const LaidOut out = contiguous(DType::kF32, {1, 1, 2});
  fill(out, 1);
  reference::attention(kNoContext, {q, none, none, out, 1});
  expect_near(out, {0, 0}, 0);
}

TEST(Reference, AttentionPassesInfinityAsIeeeSays) {
  const double inf = std::numeric_limits<double>::infinity();
  const LaidOut q = contiguous(DType::kF32, {1, 1, 1});
  const LaidOut k = contiguous(DType::kF32, {34, 1, 1});
  const LaidOut v = contiguous(DType::kF32, {34, 1, 1});
  const LaidOut out = contiguous(DType::kF32, {1, 1, 1});
  assign(q, {1});
  fill_constant(v, 7);
  fill_constant(k, -inf);  // a whole block weighs nothing, then one key has everything
  assign(k.view.slice(0, 33, 34), {2});
  reference::attention(kNoContext, {q, k, v, out, 1});
  expect_near(out, {7}, 0);
  fill_constant(k, -inf);
  reference::attention(kNoContext, {q, k, v, out, 1});
  EXPECT_TRUE(std::isnan(to_values(out)[0]));
}

TEST(Reference, PagedAttentionReadsThroughTheBlockTable) {
  const LaidOut q = contiguous(DType::kF32, {2, 4, 3});
  const LaidOut k = contiguous(DType::kF32, {11, 2, 3});
  const LaidOut v = contiguous(DType::kF32, {11, 2, 3});
  const LaidOut keys = contiguous(DType::kF32, {9, 4, 2, 3});
  const LaidOut values = contiguous(DType::kF32, {9, 4, 2, 3});
  fill(q, 1, -2, 2);
  fill(k, 2, -2, 2);
  fill(v, 3);
  fill_constant(keys, std::nan(""));  // what is not written must not be read
  fill_constant(values, std::nan(""));
  const LaidOut slots = contiguous(DType::kI64, {11});
  assign(slots, {20, 21, 22, 23, 4, 5, 6, 7, 32, 33, 34});  // blocks 5, 1, 8
  const KvLayer cache{keys, values};
  reference::kv_append(kNoContext, {k, v, slots, cache});
  const LaidOut tables = contiguous(DType::kI32, {2, 3});
  assign(tables, {-1, -1, -1, 5, 1, 8});
  const LaidOut sequences = contiguous(DType::kI32, {2});
  assign(sequences, {1, 1});
  const LaidOut lens = contiguous(DType::kI32, {2});
  assign(lens, {11, 6});
  const LaidOut out = contiguous(DType::kF32, {2, 4, 3});
  reference::paged_attention(kNoContext, {q, cache, tables, sequences, lens, out, 0.5F, 8, 2, 4});
  // Heads 8 to 11 read groups 4, 4, 5, 5: local 0, 0, 1, 1.
  const auto expected = [&](std::int64_t t, std::int64_t n) {
    std::vector<double> rows;
    for (std::int64_t h = 0; h < 4; ++h) {
      const auto group = [&](const TensorView& part) {
        return part.slice(0, 0, n).slice(1, h / 2, h / 2 + 1);
      };
      const std::vector<double> row =
          naive_attention(q.view.slice(0, t, t + 1).slice(1, h, h + 1), group(k), group(v), 0.5);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    return rows;
  };
  expect_near(out.view.slice(0, 0, 1), expected(0, 11), 1e-6);
  expect_near(out.view.slice(0, 1, 2), expected(1, 6), 1e-6);
}

}  // namespace
}  // namespace cardloom
