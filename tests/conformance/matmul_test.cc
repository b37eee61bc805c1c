// Conformance of matmul and conv2d: kernels of every instruction path against the reference over
// all layouts and odd sizes, and bit for bit among layouts, threads and neighbours.
#include "cardloom/ops/matmul.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cardloom/ops/conv2d.h"
#include "cardloom/ops/reference/reference.h"
#include "tests/support/layouts.h"
#include "tests/support/run_ranks.h"

namespace cardloom {
namespace {

using testing::LaidOut;
using testing::Layout;
using testing::Rank;
using testing::Shape;

DType dtype_of(WeightFormat format) { return activation_dtype(format); }

const std::vector<WeightFormat>& formats() {
  static const std::vector<WeightFormat> all = [] {
    std::vector<WeightFormat> list = {WeightFormat::kF32, WeightFormat::kBF16};
    for (const Encoding encoding : {Encoding::kQ8, Encoding::kQ4, Encoding::kQ4Z}) {
      for (const std::int16_t group : std::initializer_list<std::int16_t>{32, 64, 128})
        list.push_back({encoding, group});
    }
    return list;
  }();
  return all;
}

/// f32 sums of K products of numbers below 1 in any order differ by less than K * 2^-22; a bf16
/// output adds one rounding of 2^-8 relative.
double tolerance(std::int64_t K, DType out) {
  return static_cast<double>(K + 1) * 0x1p-21 + (out == DType::kF32 ? 0 : 0x1p-7);
}

PackedWeight random_weight(std::int64_t N, std::int64_t K, WeightFormat format, unsigned seed) {
  const LaidOut w = testing::contiguous(DType::kF32, {N, K});
  testing::fill(w.view, seed);
  return PackedWeight::whole(w.view, format);
}

/// Runs matmul on a card with the given path and threads.
void run_matmul(cpu::Isa isa, int threads, const TensorView& x, const PackedMatrix& w,
                const TensorView& out, const TensorView& bias) {
  testing::run_ranks_or_throw({.threads = threads, .isa = isa}, [&](Rank& rank) {
    ops::matmul(rank.stream, x, w, out, {.bias = bias});
  });
}

TEST(Matmul, EveryPathAndSizeMatchesTheReference) {
  for (const WeightFormat format : formats()) {
    for (const auto& [M, N, K] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                          {1, 70, 33},
                                                                          {5, 31, 64},
                                                                          {13, 33, 129},
                                                                          {97, 131, 47},
                                                                          {520, 40, 18},
                                                                          {3, 37, 300},
                                                                          {12, 160, 0}}) {
      const PackedWeight w = random_weight(N, K, format, 1);
      const LaidOut x = testing::contiguous(dtype_of(format), {M, K});
      const LaidOut bias = testing::contiguous(DType::kF32, {N});
      testing::fill(x.view, 2);
      testing::fill(bias.view, 3);
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        const LaidOut expected = testing::contiguous(dtype, {M, N});
        reference::matmul(KernelContext{},
                          MatmulArgs{x.view, w.matrix(), bias.view, expected.view});
        for (const cpu::Isa isa : cpu::supported_isas()) {
          const LaidOut out = testing::contiguous(dtype, {M, N});
          run_matmul(isa, 3, x.view, w.matrix(), out.view, bias.view);
          if (format.is_quantised()) {  // exact by definition
            EXPECT_EQ(testing::to_bytes(out.view), testing::to_bytes(expected.view))
                << to_string(isa) << " " << to_string(format) << " M=" << M << " N=" << N
                << " K=" << K;
            continue;
          }
          EXPECT_LT(testing::largest_difference(out.view, expected.view), tolerance(K, dtype))
              << to_string(isa) << " M=" << M << " N=" << N << " K=" << K;
        }
      }
    }
  }
}

TEST(Matmul, LayoutThreadsAndNeighboursChangeNoBit) {
  const std::int64_t M = 29, N = 77, K = 35;
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat{Encoding::kQ8, 32},
        WeightFormat{Encoding::kQ4Z, 64}}) {
    const PackedWeight w = random_weight(N, K, format, 1);
    for (const cpu::Isa isa : cpu::supported_isas()) {
      for (const Layout& x_layout : testing::layouts()) {
        const LaidOut x = x_layout.make(dtype_of(format), {M, K});
        testing::fill(x.view, 2);
        const LaidOut dense_x = testing::to_contiguous(x.view);
        const LaidOut expected = testing::contiguous(dtype_of(format), {M, N});
        run_matmul(isa, 1, dense_x.view, w.matrix(), expected.view, {});
        for (const Layout& out_layout : testing::output_layouts()) {
          const LaidOut out = out_layout.make(dtype_of(format), {M, N});
          run_matmul(isa, 2, x.view, w.matrix(), out.view, {});
          ASSERT_EQ(testing::to_bytes(out.view), testing::to_bytes(expected.view))
              << x_layout.name << " -> " << out_layout.name << " on " << to_string(isa);
          ASSERT_TRUE(out.gaps_untouched()) << out_layout.name;
        }
        for (const std::int64_t row : {std::int64_t{0}, std::int64_t{13}, M - 1}) {
          const LaidOut alone = testing::contiguous(dtype_of(format), {1, N});
          run_matmul(isa, 1, x.view.slice(0, row, row + 1), w.matrix(), alone.view, {});
          ASSERT_EQ(testing::to_bytes(alone.view),
                    testing::to_bytes(expected.view.slice(0, row, row + 1)));
        }
      }
    }
  }
}

TEST(Matmul, PiecesLandWhereTheirColumnsAre) {
  const std::int64_t K = 20;
  const LaidOut w = testing::contiguous(DType::kF32, {60, K});
  const LaidOut x = testing::contiguous(DType::kBF16, {3, K});
  testing::fill(w.view, 1);
  testing::fill(x.view, 2);
  const PackedWeight whole = PackedWeight::whole(w.view, WeightFormat::kBF16);
  PackedWeight pieces;  // the same columns, packed in another order and in awkward sizes
  pieces.add_columns(w.view.slice(0, 42, 60), WeightFormat::kBF16, 42);
  pieces.add_columns(w.view.slice(0, 0, 5), WeightFormat::kBF16, 0);
  pieces.add_columns(w.view.slice(0, 5, 42), WeightFormat::kBF16, 5);
  for (const cpu::Isa isa : cpu::supported_isas()) {
    const LaidOut a = testing::contiguous(DType::kF32, {3, 60});
    const LaidOut b = testing::contiguous(DType::kF32, {3, 60});
    run_matmul(isa, 2, x.view, whole.matrix(), a.view, {});
    run_matmul(isa, 2, x.view, pieces.matrix(), b.view, {});
    EXPECT_EQ(testing::to_bytes(a.view), testing::to_bytes(b.view));
  }
}

TEST(Matmul, NansAndInfinitiesPassThrough) {
  const PackedWeight w = random_weight(40, 6, WeightFormat::kBF16, 1);
  const LaidOut x = testing::contiguous(DType::kBF16, {3, 6});
  testing::fill(x.view, 2);
  testing::fill_constant(x.view.slice(0, 0, 1), NAN);
  testing::fill_constant(x.view.slice(0, 1, 2).slice(1, 3, 4), INFINITY);
  for (const cpu::Isa isa : cpu::supported_isas()) {
    const LaidOut out = testing::contiguous(DType::kF32, {3, 40});
    run_matmul(isa, 1, x.view, w.matrix(), out.view, {});
    const std::vector<double> values = testing::to_values(out.view);
    for (std::size_t n = 0; n < 40; ++n) {
      EXPECT_TRUE(std::isnan(values[n]));
      EXPECT_TRUE(std::isinf(values[40 + n]));
      EXPECT_TRUE(std::isfinite(values[80 + n]));
    }
  }
}

TEST(Matmul, AGroupWithoutAFiniteNumberSpoilsItsRowOnly) {
  for (const Encoding encoding : {Encoding::kQ8, Encoding::kQ4, Encoding::kQ4Z}) {
    const PackedWeight w = random_weight(40, 70, {encoding, 32}, 1);
    const LaidOut x = testing::contiguous(DType::kBF16, {4, 70});
    testing::fill(x.view, 2);
    testing::fill_constant(x.view.slice(0, 0, 1).slice(1, 69, 70), NAN);
    testing::fill_constant(x.view.slice(0, 1, 2).slice(1, 3, 4), -INFINITY);
    testing::fill_constant(x.view.slice(0, 2, 3), 0);
    for (const cpu::Isa isa : cpu::supported_isas()) {
      const LaidOut out = testing::contiguous(DType::kF32, {4, 40});
      run_matmul(isa, 1, x.view, w.matrix(), out.view, {});
      const std::vector<double> values = testing::to_values(out.view);
      for (std::size_t n = 0; n < 40; ++n) {
        EXPECT_TRUE(std::isnan(values[n]));
        EXPECT_TRUE(std::isnan(values[40 + n]));
        EXPECT_EQ(values[80 + n], 0);
        EXPECT_TRUE(std::isfinite(values[120 + n]));
      }
    }
  }
}

TEST(Matmul, EmptyRowsAndColumnsAreFine) {
  const PackedWeight w = random_weight(8, 4, WeightFormat::kF32, 1);
  const LaidOut x = testing::contiguous(DType::kF32, {0, 4});
  const LaidOut out = testing::contiguous(DType::kF32, {0, 8});
  EXPECT_NO_THROW(run_matmul(cpu::Isa::kPlain, 1, x.view, w.matrix(), out.view, {}));
  const PackedWeight none = random_weight(0, 4, WeightFormat::kF32, 1);
  const LaidOut two = testing::contiguous(DType::kF32, {2, 4});
  const LaidOut nothing = testing::contiguous(DType::kF32, {2, 0});
  EXPECT_NO_THROW(run_matmul(cpu::Isa::kPlain, 1, two.view, none.matrix(), nothing.view, {}));
}

/// The message of the error that matmul throws at once.
std::string refusal(const TensorView& x, const PackedMatrix& w, const TensorView& out,
                    const TensorView& bias = {}) {
  try {
    run_matmul(cpu::Isa::kPlain, 1, x, w, out, bias);
  } catch (const Exception& failure) {
    return failure.error().message;
  }
  return "accepted";
}

TEST(Matmul, RefusesWhatDoesNotFitWithBothValues) {
  const PackedWeight w = random_weight(8, 4, WeightFormat::kF32, 1);
  const LaidOut x = testing::contiguous(DType::kF32, {3, 4});
  const LaidOut out = testing::contiguous(DType::kF32, {3, 8});
  const TensorView narrow = x.view.slice(1, 0, 3);
  EXPECT_EQ(refusal(narrow, w.matrix(), out.view), "matmul: x has K = 3, w has K = 4");
  EXPECT_EQ(refusal(x.view, w.matrix(), out.view.slice(0, 0, 2)),
            "matmul: out is [2, 8], the product is [3, 8]");
  EXPECT_EQ(refusal(x.view.select(0, 0), w.matrix(), out.view), "matmul: x must be [M, K]");
  const LaidOut half = testing::contiguous(DType::kBF16, {3, 4});
  EXPECT_EQ(refusal(half.view, w.matrix(), out.view), "matmul: x is bf16, w multiplies with f32");
  EXPECT_EQ(refusal(x.view, w.matrix(), out.view.slice(0, 0, 1).expand(0, 3)),
            "matmul: out must not name one element twice");
  const LaidOut square = testing::contiguous(DType::kF32, {8, 8});
  EXPECT_EQ(
      refusal(square.view.slice(0, 0, 3).slice(1, 0, 4), w.matrix(), square.view.slice(0, 0, 3)),
      "matmul: out must not overlap x");
  EXPECT_EQ(refusal(x.view, w.matrix(), out.view, out.view.select(0, 0).slice(0, 0, 7)),
            "matmul: bias must be f32 [N]");
  const std::int64_t borders[] = {0, 2, 4};
  const LaidOut dense = testing::contiguous(DType::kF32, {8, 4});
  const PackedWeight cut = PackedWeight::leaves(dense.view, WeightFormat::kF32, borders, 2, 0, 2);
  EXPECT_EQ(refusal(x.view, cut.matrix(), out.view),
            "matmul: w is cut along K: matmul_all_reduce adds up its leaves");
}

TEST(Conv2d, IsTheProductOverPatches) {
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16}) {
    const std::int64_t C = 3, Y = 28, X = 14, patch = 7, N = 19;
    const PackedWeight w = random_weight(N, C * patch * patch, format, 1);
    const LaidOut bias = testing::contiguous(DType::kF32, {N});
    testing::fill(bias.view, 5);
    for (const Layout& layout : testing::layouts()) {
      const LaidOut image = layout.make(DType::kF32, {C, Y, X});
      testing::fill(image.view, 2);
      const LaidOut expected = testing::contiguous(dtype_of(format), {8, N});
      const LaidOut residual = testing::contiguous(dtype_of(format), {8, N});
      testing::fill(residual.view, 4);
      reference::conv2d(KernelContext{}, Conv2dArgs{image.view, w.matrix(), bias.view,
                                                    residual.view, expected.view, patch});
      for (const cpu::Isa isa : cpu::supported_isas()) {
        const LaidOut out = testing::contiguous(dtype_of(format), {8, N});
        testing::run_ranks_or_throw({.threads = 2, .isa = isa}, [&](Rank& rank) {
          ops::conv2d(rank.stream, image.view, w.matrix(), out.view,
                      {.patch = patch, .bias = bias.view, .residual = residual.view});
        });
        EXPECT_LT(testing::largest_difference(out.view, expected.view),
                  tolerance(147, dtype_of(format)))
            << layout.name << " on " << to_string(isa);
      }
    }
  }
}

TEST(Conv2d, RowsOfATensorAreAPicture) {
  // The 2 x 2 stride-2 convolution reads [Y*X, C] rows as [C, Y, X] by a permuted view, no copy.
  const std::int64_t C = 5, side = 4;
  const LaidOut rows = testing::contiguous(DType::kF32, {side * side, C});
  testing::fill(rows.view, 2);
  const TensorView image = rows.view.unflatten(0, side).permute({2, 0, 1});
  const LaidOut w = testing::contiguous(DType::kF32, {1, C * 4});
  testing::fill_constant(w.view.slice(1, 2 * 4 + 3, 2 * 4 + 4), 1);  // channel 2, pixel (1, 1)
  const PackedWeight packed = PackedWeight::whole(w.view, WeightFormat::kF32);
  const LaidOut out = testing::contiguous(DType::kF32, {4, 1});
  testing::run_ranks_or_throw({}, [&](Rank& rank) {
    ops::conv2d(rank.stream, image, packed.matrix(), out.view, {.patch = 2});
  });
  const std::vector<double> values = testing::to_values(rows.view);
  const std::vector<double> found = testing::to_values(out.view);
  const std::int64_t pixels[] = {5, 7, 13, 15};  // bottom right of each 2 x 2
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(found[i], values[static_cast<std::size_t>(pixels[i] * C + 2)]);
  }
}

}  // namespace
}  // namespace cardloom
