#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cardloom/backend/cpu/isa.h"
#include "cardloom/backend/cpu/kernels/gemm_driver.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/quant/activation_group.h"
#include "cardloom/quant/packed_matrix.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom::cpu {
namespace {

constexpr std::int64_t kColumns = kPanelColumns;

const WeightFormat kQuantised[] = {
    {Encoding::kQ8, 32},  {Encoding::kQ8, 64},  {Encoding::kQ8, 128},
    {Encoding::kQ4, 32},  {Encoding::kQ4, 64},  {Encoding::kQ4, 128},
    {Encoding::kQ4Z, 32}, {Encoding::kQ4Z, 64}, {Encoding::kQ4Z, 128}};

enum class Values { kNormal, kExtreme, kNonFinite };

/// x [rows, K] and one packed panel w [32, K].
struct Problem {
  WeightFormat format;
  std::int64_t rows = 0;
  std::int64_t K = 0;
  std::vector<float> x;
  PackedWeight weight;
  std::vector<float> c;  ///< [32, 32], what `add` starts from

  Problem(WeightFormat weight_format, std::int64_t num_rows, std::int64_t k, Values values,
          std::uint32_t seed)
      : format(weight_format), rows(num_rows), K(k) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto draw = [&] {
      const float value = normal(random);
      return values == Values::kExtreme ? std::copysign(1.0F, value) : value;
    };
    std::vector<float> w(static_cast<std::size_t>(kColumns * K));
    for (float& value : w) value = draw();
    x.resize(static_cast<std::size_t>(rows * K));
    for (float& value : x) value = to_f32(to_bf16(draw()));
    if (values == Values::kNonFinite) {
      for (float& value : x) {
        if (random() % 97 == 0) value = random() % 2 == 0 ? NAN : INFINITY;
      }
    }
    for (std::int64_t i = 0; i < 32 * kColumns; ++i) c.push_back(normal(random));
    weight = PackedWeight::whole(make_view(w.data(), DType::kF32, {kColumns, K}), format);
  }

  [[nodiscard]] std::int64_t num_blocks() const { return num_k_blocks(format, K); }
  [[nodiscard]] PackedPiece piece() const { return weight.matrix().pieces[0]; }
};

/// Some rows of a problem as one path wants them, in memory of exactly the promised size.
struct PackedRows {
  Tensor values;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  GemmRows rows{};

  PackedRows(const GemmKernels& kernels, const Problem& problem, std::int64_t first_row,
             std::int64_t num_rows) {
    const std::int64_t per_block = k_per_block(problem.format);
    const std::int64_t line = problem.format.is_quantised() ? per_block : 64;
    const std::int64_t padded = round_up(num_rows, kernels.row_granule);
    const std::int64_t blocks = problem.num_blocks();
    values = Tensor(DType::kU8, {blocks * padded * line});
    scales.resize(static_cast<std::size_t>(blocks * padded));
    sums.resize(static_cast<std::size_t>(blocks * padded));
    std::byte* out = values.view().data;
    if (blocks > 0) std::memset(out, 0, static_cast<std::size_t>(blocks * padded * line));
    for (std::int64_t row = 0; row < num_rows; ++row) {
      for (std::int64_t block = 0; block < blocks; ++block) {
        const float* from = problem.x.data() + (first_row + row) * problem.K + block * per_block;
        const std::int64_t count = std::min(per_block, problem.K - block * per_block);
        const std::int64_t at = block * padded + row;
        std::byte* to = out + at * line;
        if (problem.format.is_quantised()) {
          const ActivationGroup group =
              quantise_activations(from, count, reinterpret_cast<std::int8_t*>(to));
          scales[static_cast<std::size_t>(at)] = group.scale;
          sums[static_cast<std::size_t>(at)] = group.sum;
        } else if (problem.format == WeightFormat::kF32) {
          std::memcpy(to, from, static_cast<std::size_t>(count) * 4);
        } else {
          for (std::int64_t k = 0; k < count; ++k) {
            const bf16 value = to_bf16(from[k]);
            std::memcpy(to + k * 2, &value, 2);
          }
        }
      }
    }
    rows = {out, scales.data(), sums.data(), num_rows, padded, num_rows % 2 == 1};
  }

  [[nodiscard]] GemmRows from_block(std::int64_t block, std::int64_t line) const {
    GemmRows result = rows;
    result.values += block * rows.padded_rows * line;
    result.scales += block * rows.padded_rows;
    result.sums += block * rows.padded_rows;
    return result;
  }
};

/// c of some rows, computed in blocks [0, split) and [split, all); without `add`, c holds NaNs
/// before. Fails the test if anything beyond the padded rows is written.
std::vector<float> run(const GemmKernels& kernels, const Problem& problem, std::int64_t first_row,
                       std::int64_t num_rows, bool add, std::int64_t split = 0) {
  const PackedRows packed(kernels, problem, first_row, num_rows);
  const std::int64_t padded = packed.rows.padded_rows;
  constexpr float kGuard = 1234.5F;
  Tensor memory(DType::kF32, {padded * kColumns + 16});
  auto* c = reinterpret_cast<float*>(memory.view().data);
  for (std::int64_t i = 0; i < padded * kColumns + 16; ++i) c[i] = NAN;
  for (std::int64_t i = 0; i < 16; ++i) c[padded * kColumns + i] = kGuard;
  if (add) {
    std::memcpy(c, problem.c.data() + first_row * kColumns,
                static_cast<std::size_t>(num_rows * kColumns) * 4);
  }
  const GemmKernel kernel = kernel_of(kernels, problem.format.encoding);
  const std::byte* panel = problem.piece().data;
  const std::int64_t group = problem.format.group;
  const std::int64_t line = problem.format.is_quantised() ? group : 64;
  kernels.begin();
  if (split > 0) kernel(packed.rows, panel, split, group, add, c);
  kernel(packed.from_block(split, line), panel + split * packed_block_bytes(problem.format),
         problem.num_blocks() - split, group, add || split > 0, c);
  kernels.end();
  for (std::int64_t i = 0; i < 16; ++i) EXPECT_EQ(c[padded * kColumns + i], kGuard);
  return {c, c + num_rows * kColumns};
}

/// The definition of gemm_kernels.h: bit for bit where quantised, else in f64.
std::vector<float> oracle(const Problem& problem, bool add) {
  const PackedPiece piece = problem.piece();
  const std::int64_t per_block = k_per_block(problem.format);
  std::vector<float> c(static_cast<std::size_t>(problem.rows * kColumns));
  std::vector<std::int8_t> q(static_cast<std::size_t>(per_block));
  for (std::int64_t m = 0; m < problem.rows; ++m) {
    for (std::int64_t n = 0; n < kColumns; ++n) {
      const std::size_t at = static_cast<std::size_t>(m * kColumns + n);
      const float* x = problem.x.data() + m * problem.K;
      if (!problem.format.is_quantised()) {
        double sum = add ? problem.c[at] : 0;
        for (std::int64_t k = 0; k < problem.K; ++k) {
          sum += static_cast<double>(x[k]) * packed_element(piece, problem.format, n, k);
        }
        c[at] = static_cast<float>(sum);
        continue;
      }
      float sum = add ? problem.c[at] : 0;
      for (std::int64_t k = 0; k < problem.K; k += per_block) {
        const std::int64_t count = std::min(per_block, problem.K - k);
        const ActivationGroup group = quantise_activations(x + k, count, q.data());
        std::int32_t exact = 0;
        float scale = 0;
        for (std::int64_t i = 0; i < count; ++i) {
          const QuantisedElement w = packed_quantised(piece, problem.format, n, k + i);
          exact += w.q * q[static_cast<std::size_t>(i)];
          scale = w.scale;
        }
        sum = std::fma(static_cast<float>(exact), group.scale * scale, sum);
      }
      c[at] = sum;
    }
  }
  return c;
}

/// The same bits; a NaN's payload does not count.
void expect_same(const std::vector<float>& actual, const std::vector<float>& expected,
                 const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(actual[i]) && std::isnan(expected[i])) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(actual[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << what << ", row " << i / kColumns << ", column " << i % kColumns << ": " << actual[i]
        << " instead of " << expected[i];
  }
}

std::string describe(const Problem& problem, bool add) {
  return to_string(problem.format) + ", rows " + std::to_string(problem.rows) + ", K " +
         std::to_string(problem.K) + (add ? ", add" : "");
}

class GemmKernelsOf : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    for (const Isa isa : supported_isas()) {
      if (isa == GetParam()) kernels_ = &gemm_kernels(isa);
    }
    if (kernels_ == nullptr) GTEST_SKIP() << "not on this machine";
  }

  /// Row i alone, and blocks in two runs, give the bits of all at once.
  void expect_one_order(const Problem& problem, bool add, std::int64_t split) {
    const std::vector<float> whole = run(*kernels_, problem, 0, problem.rows, add);
    expect_same(run(*kernels_, problem, 0, problem.rows, add, split), whole,
                describe(problem, add) + " split at block " + std::to_string(split));
    for (std::int64_t row = 0; row < problem.rows; ++row) {
      const auto begin = whole.begin() + row * kColumns;
      expect_same(run(*kernels_, problem, row, 1, add), {begin, begin + kColumns},
                  describe(problem, add) + " row " + std::to_string(row) + " alone");
    }
  }

  void expect_near_oracle(const Problem& problem, bool add) {
    const std::vector<float> expected = oracle(problem, add);
    const std::vector<float> actual = run(*kernels_, problem, 0, problem.rows, add);
    // Each of K products and additions rounds numbers of about sqrt(K) by 2^-24.
    const double tolerance = 1e-6 * static_cast<double>(problem.K + 16);
    for (std::size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], tolerance) << describe(problem, add) << " at " << i;
    }
  }

  const GemmKernels* kernels_ = nullptr;
};

TEST_P(GemmKernelsOf, KeepsItsOwnLimits) {
  EXPECT_GE(kernels_->block_rows, 1);
  EXPECT_LE(kernels_->block_rows, kMaxBlockRows);
  EXPECT_EQ(kernels_->block_rows % kernels_->row_granule, 0);
}

TEST_P(GemmKernelsOf, QuantisedIsTheDefinitionBitForBit) {
  for (const WeightFormat format : kQuantised) {
    for (std::int64_t rows = 1; rows <= kernels_->block_rows; ++rows) {
      for (const std::int64_t blocks : {0, 1, 2, 5}) {
        for (const Values values : {Values::kNormal, Values::kExtreme}) {
          const Problem problem(format, rows, blocks * format.group, values,
                                static_cast<std::uint32_t>(rows * 8 + blocks));
          for (const bool add : {false, true}) {
            expect_same(run(*kernels_, problem, 0, rows, add), oracle(problem, add),
                        describe(problem, add));
          }
        }
      }
    }
  }
}

TEST_P(GemmKernelsOf, DenseIsNearTheSumAndHasOneOrder) {
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16}) {
    for (std::int64_t rows = 1; rows <= kernels_->block_rows; ++rows) {
      for (const std::int64_t blocks : {0, 1, 2, 5}) {
        const Problem problem(format, rows, blocks * k_per_block(format), Values::kNormal,
                              static_cast<std::uint32_t>(rows * 8 + blocks));
        for (const bool add : {false, true}) {
          expect_near_oracle(problem, add);
          expect_one_order(problem, add, blocks / 2);
        }
      }
    }
  }
}

TEST_P(GemmKernelsOf, ManyRandomShapes) {
  std::mt19937 random(7);
  for (int round = 0; round < 1500; ++round) {
    const WeightFormat format = kQuantised[random() % 9];
    const std::int64_t K = 1 + static_cast<std::int64_t>(random() % 1500);
    const std::int64_t rows = 1 + static_cast<std::int64_t>(random()) % kernels_->block_rows;
    const bool add = random() % 2 == 0;
    const auto values = static_cast<Values>(random() % 3);
    const Problem problem(format, rows, K, values, static_cast<std::uint32_t>(random()));
    const std::int64_t split = static_cast<std::int64_t>(random()) % (problem.num_blocks() + 1);
    expect_same(run(*kernels_, problem, 0, rows, add, split), oracle(problem, add),
                describe(problem, add));
    if (HasFatalFailure()) return;
  }
  for (int round = 0; round < 200; ++round) {
    const WeightFormat format = random() % 2 == 0 ? WeightFormat::kF32 : WeightFormat::kBF16;
    const std::int64_t K = 1 + static_cast<std::int64_t>(random() % 700);
    const std::int64_t rows = 1 + static_cast<std::int64_t>(random()) % kernels_->block_rows;
    const bool add = random() % 2 == 0;
    const auto values = random() % 2 == 0 ? Values::kNormal : Values::kNonFinite;
    const Problem problem(format, rows, K, values, static_cast<std::uint32_t>(random()));
    if (values == Values::kNormal) expect_near_oracle(problem, add);
    expect_one_order(problem, add,
                     static_cast<std::int64_t>(random()) % (problem.num_blocks() + 1));
    if (HasFatalFailure()) return;
  }
}

TEST_P(GemmKernelsOf, NonFiniteActivationsSpoilTheirRowOnly) {
  std::vector<WeightFormat> formats(std::begin(kQuantised), std::end(kQuantised));
  formats.push_back(WeightFormat::kF32);
  formats.push_back(WeightFormat::kBF16);
  for (const WeightFormat format : formats) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      const std::int64_t rows = kernels_->block_rows;
      Problem problem(format, rows, 3 * k_per_block(format) - 1, Values::kNormal, 3);
      const std::int64_t row = rows / 2;
      problem.x[static_cast<std::size_t>((row + 1) * problem.K - 2)] = bad;
      const std::vector<float> c = run(*kernels_, problem, 0, rows, false);
      for (std::int64_t i = 0; i < rows * kColumns; ++i) {
        ASSERT_EQ(std::isfinite(c[static_cast<std::size_t>(i)]), i / kColumns != row)
            << to_string(format) << ", element " << i;
      }
    }
  }
}

TEST_P(GemmKernelsOf, QuantisesRowsAsDefined) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  const float specials[] = {NAN, INFINITY, -INFINITY, 0x1p-100F, 0x1p-101F, 0x1p-120F, 3e38F, 0.0F};
  for (int round = 0; round < 3000; ++round) {
    const std::int64_t group = 32 << random() % 3;
    const auto K = static_cast<std::int64_t>(random() % 400);
    const auto padded = static_cast<std::int64_t>(1 + random() % 16);
    const std::int64_t blocks = ceil_div(K, group);
    const float magnitude = std::ldexp(1.0F, static_cast<int>(random() % 200) - 100);
    // Exactly K of them, for the sanitizers to watch.
    const auto x = std::make_unique<std::uint16_t[]>(static_cast<std::size_t>(K));
    std::vector<float> wide;
    for (std::int64_t k = 0; k < K; ++k) {
      float value = normal(random) * magnitude;
      if (round % 3 == 0 && random() % 64 == 0) value = specials[random() % 8];
      if (round % 7 == 0) value = k % 2 == 0 ? 0x1p-101F : -0x1p-102F;
      x[static_cast<std::size_t>(k)] = to_bf16(value).bits;
      wide.push_back(to_f32(to_bf16(value)));
    }
    const auto size = static_cast<std::size_t>(blocks * padded);
    std::vector<std::int8_t> values(size * static_cast<std::size_t>(group), 55);
    std::vector<float> scales(size, -1);
    std::vector<std::int32_t> sums(size, -1);
    kernels_->quantise_row(x.get(), K, group, padded, values.data(), scales.data(), sums.data());
    for (std::int64_t block = 0; block < blocks; ++block) {
      std::vector<std::int8_t> expected(static_cast<std::size_t>(padded * group), 55);
      std::memset(expected.data(), 0, static_cast<std::size_t>(group));
      const ActivationGroup result = quantise_activations(
          wide.data() + block * group, std::min(group, K - block * group), expected.data());
      const auto at = static_cast<std::size_t>(block * padded);
      ASSERT_EQ(std::bit_cast<std::uint32_t>(scales[at]),
                std::bit_cast<std::uint32_t>(result.scale));
      ASSERT_EQ(sums[at], result.sum);
      ASSERT_EQ(
          std::memcmp(values.data() + block * padded * group, expected.data(), expected.size()), 0);
      for (std::int64_t other = 1; other < padded; ++other) {
        ASSERT_EQ(scales[at + static_cast<std::size_t>(other)], -1);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, GemmKernelsOf,
                         testing::Values(Isa::kPlain, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16,
                                         Isa::kAmx),
                         [](const auto& parameter) {
                           return std::string(to_string(parameter.param));
                         });

}  // namespace
}  // namespace cardloom::cpu
