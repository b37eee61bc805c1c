#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "cardloom/backend/cpu/isa.h"
#include "cardloom/quant/packed_matrix.h"
#include "cardloom/tensor/tensor.h"
#include "cardloom/weights/shard_plan.h"

namespace cardloom::bench {

/// What the benchmarks of MatmulAllReduce work on: GLM-4V's products that end in one.
struct Shape {
  const char* name;
  std::int64_t N;
  LeafPlan leaves;
  std::int64_t neighbour_columns;  ///< of the buffer that x is a slice of, beyond x: the layout met
  bool residual;                   ///< what the model adds: a residual, or else a bias

  [[nodiscard]] std::int64_t K() const { return leaves.border[leaves.num_leaves]; }
  /// The columns of x, and so of the weight, that `rank` of two cards owns.
  [[nodiscard]] IndexRange columns_of(int rank) const { return elements_of_rank(leaves, 2, rank); }
};
/// o and down of the text model, fc2 of the vision tower.
[[nodiscard]] std::vector<Shape> glm4v_shapes();

/// Weights of one configuration, several copies in turn, so that M = 1 reads memory, not a cache.
struct Weights {
  std::vector<std::vector<PackedWeight>> copies;  ///< [copy][rank]
};

/// How many copies: 1 GiB of them, more than any last-level cache share of a small machine (the
/// machines here show up to 480 MB), where few rows stream the weight; else one.
[[nodiscard]] int num_weight_copies(const Shape& shape, std::int64_t M, WeightFormat format);
inline constexpr std::int64_t kRotatedBytes = std::int64_t{1} << 30;

/// Numbers of one size, none special; the same for the same seed.
[[nodiscard]] Tensor random_bf16(std::initializer_list<std::int64_t> shape, std::uint32_t seed);

/// `w` by leaves for `tp` cards.
[[nodiscard]] Weights cut(const Tensor& w, WeightFormat format, const LeafPlan& plan, int tp,
                          int num_copies);

/// Sizes of f32 sums [M, N] that an exchange is measured with: 8 KiB, 128 KiB, 4 MiB.
struct ExchangeSize {
  std::int64_t M;
  std::int64_t N;

  [[nodiscard]] std::int64_t kib() const { return M * N * 4 / 1024; }
  /// In one measurement: some tens of milliseconds.
  [[nodiscard]] int calls() const { return kib() > 1024 ? 50 : 5000; }
};
inline constexpr ExchangeSize kExchangeSizes[] = {{1, 2048}, {8, 4096}, {256, 4096}};

/// Median seconds of one matmul_all_reduce of two cards x 1 thread whose product is next to
/// nothing, one k block a rank: what the exchange costs.
[[nodiscard]] double exchange_seconds(const ExchangeSize& size, cpu::Isa isa);

}  // namespace cardloom::bench
