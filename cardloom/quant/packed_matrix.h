#pragma once

#include <cstdint>
#include <vector>

#include "cardloom/base/parallel.h"
#include "cardloom/quant/leaf_tree.h"
#include "cardloom/quant/weight_format.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// A panel is 32 output columns: two AVX-512 or four AVX2 registers of f32 sums, or two AMX tiles.
/// Columns beyond the weight are zero and never stored to an output.
inline constexpr std::int64_t kPanelColumns = 32;

/// A rectangle of a weight [N, K] in kernel order: panel by panel; in a panel, block by block along
/// K (weight_format.h), the last one filled up with zeros. A block is
///
///   f32, bf16  [16 steps][32 columns] of 4 bytes: 1 f32, or 2 neighbouring bf16
///   q8         scale f16[32], then [group / 4 steps][32 columns] of 4 neighbouring i8
///   q4         scale f16[32], then [group / 8 steps][32 columns] of 4 bytes: byte j of step s has
///              q + 8 of k = 8 s + j in its low half, of k = 8 s + 4 + j in its high half
///   q4z        scale f16[32], zero i16[32], then as q4 with u
///
/// so that 16 columns of a step are one 64-byte line, which is what VNNI and dot instructions take,
/// and 16 lines are an AMX tile.
struct PackedPiece {
  const std::byte* data = nullptr;  ///< 64-byte aligned
  std::int64_t panel_stride = 0;    ///< bytes from panel to panel
  std::int64_t out_begin = 0;       ///< its first column in the product's output
  std::int64_t num_columns = 0;
  std::int64_t k_begin = 0;  ///< its first column of x
  std::int64_t k_count = 0;
};

/// A view of one rank's share of a weight as the matrix operators want it. A POD.
///
/// Two kinds. Not cut along K (num_leaves == 0): the pieces' output columns may lie anywhere apart;
/// each piece has the whole K. Cut along K (num_leaves > 0, a row-parallel weight): piece i is leaf
/// first_leaf + i of num_leaves, all pieces have all N columns, and k_begin counts from this rank's
/// first column of x. A rank may own no leaf: K == 0, no pieces. PackedWeight puts the leaves of a
/// panel side by side: few rows read a panel's leaves one after another, as one stream.
struct PackedMatrix {
  WeightFormat format = WeightFormat::kF32;
  std::int64_t N = 0;  ///< output features of this rank
  std::int64_t K = 0;  ///< input features of this rank
  const PackedPiece* pieces = nullptr;
  int num_pieces = 0;
  int first_leaf = 0;
  int num_leaves = 0;  ///< of the whole weight, over all ranks

  /// As an operand for the operator log: dtype(N, K).
  [[nodiscard]] TensorView as_operand() const;
};

/// Bytes of one block of a panel.
constexpr std::int64_t packed_block_bytes(WeightFormat format) {
  const std::int64_t columns = kPanelColumns;
  switch (format.encoding) {
    case Encoding::kF32:
    case Encoding::kBF16:
      return columns * 64;
    case Encoding::kQ8:
      return columns * (2 + format.group);
    case Encoding::kQ4:
      return columns * (2 + format.group / 2);
    case Encoding::kQ4Z:
      return columns * (4 + format.group / 2);
  }
  return 0;
}

/// Blocks along k_count.
constexpr std::int64_t num_k_blocks(WeightFormat format, std::int64_t k_count) {
  return (k_count + k_per_block(format) - 1) / k_per_block(format);
}

/// Bytes of a packed rectangle of `num_columns` x `k_count`.
[[nodiscard]] std::int64_t packed_bytes(WeightFormat format, std::int64_t num_columns,
                                        std::int64_t k_count);

/// Packs w[n, k], at most 32 rows, any floating dtype and any strides, as one panel into `out`.
///
/// f32 -> bf16 rounds to nearest even; f16 -> bf16 likewise; bf16 -> f32 is exact. Quantised, with
/// round() to nearest even and the scale rounded to f16 before the numbers are divided by it:
///   q8   scale = max |w| / 127,                q = round(w / scale) in [-127, 127]
///   q4   scale = w_m / -8, w_m of max |w|,     q = round(w / scale) in [-8, 7]
///   q4z  scale = (max(w, 0) - min(w, 0)) / 15, zero = round(-min(w, 0) / scale),
///        u = round(w / scale) + zero in [0, 15]
/// Throws kInvalidArgument if a number to be quantised is not finite or above what f16 scales hold.
void pack_panel(const TensorView& w, WeightFormat format, std::byte* out);

/// One quantised number of a packed rectangle: w = scale * q (q4z: the zero point taken off).
struct QuantisedElement {
  int q = 0;
  float scale = 0;
};
[[nodiscard]] QuantisedElement packed_quantised(const PackedPiece& piece, WeightFormat format,
                                                std::int64_t n, std::int64_t k);

/// The inverse of packing, for tests and the reference: w[n, k] of a packed rectangle as f32.
[[nodiscard]] float packed_element(const PackedPiece& piece, WeightFormat format, std::int64_t n,
                                   std::int64_t k);

/// Owns packed pieces. Built piece by piece by the loader; `matrix()` is stable once built.
class PackedWeight {
 public:
  PackedWeight() = default;

  /// A weight that is not cut along K: all rows of `w` [N, K] as one piece.
  [[nodiscard]] static PackedWeight whole(const TensorView& w, WeightFormat format,
                                          const ParallelFor& parallel = run_serially);

  /// Leaves [first_leaf, end_leaf) of `w` [N, K], K cut at `borders` (num_leaves + 1 of them).
  [[nodiscard]] static PackedWeight leaves(const TensorView& w, WeightFormat format,
                                           const std::int64_t* borders, int num_leaves,
                                           int first_leaf, int end_leaf,
                                           const ParallelFor& parallel = run_serially);

  /// Appends `w` [n, K] as output columns [out_begin, out_begin + n) of a weight not cut along K.
  /// Throws kInvalidArgument if K differs from the first piece's.
  void add_columns(const TensorView& w, WeightFormat format, std::int64_t out_begin,
                   const ParallelFor& parallel = run_serially);

  [[nodiscard]] PackedMatrix matrix() const;
  [[nodiscard]] std::int64_t size_bytes() const;

 private:
  WeightFormat format_ = WeightFormat::kF32;
  std::int64_t num_columns_ = 0;
  std::int64_t k_ = 0;
  int first_leaf_ = 0;
  int num_leaves_ = 0;
  std::vector<PackedPiece> pieces_;
  std::vector<Tensor> memory_;
};

}  // namespace cardloom
