#pragma once

#include <cstdint>
#include <vector>

#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// How the numbers of a packed weight are stored.
enum class WeightFormat : std::uint8_t { kF32, kBF16 };

/// The dtype of activations that a format multiplies with.
constexpr DType activation_dtype(WeightFormat format) {
  return format == WeightFormat::kF32 ? DType::kF32 : DType::kBF16;
}

/// A panel is 32 output columns: two AVX-512 or four AVX2 registers of f32 sums. The last panel of
/// a piece is 16 or 32 wide; columns beyond the weight are zero and never stored to an output.
inline constexpr std::int64_t kPanelColumns = 32;
inline constexpr std::int64_t kPanelGranule = 16;

/// A rectangle of a weight [N, K] in kernel order: panel by panel; in a panel, step by step along
/// K; in a step, column by column. A step is 1 k for f32 and 2 neighbouring k for bf16 (what one
/// AVX-512 dot instruction takes; an odd k_count is padded by a zero).
struct PackedPiece {
  const std::byte* data = nullptr;  ///< 64-byte aligned
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
/// first column of x. A rank may own no leaf: K == 0, no pieces.
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

/// Elements of k in a step: 1 or 2.
constexpr std::int64_t step_size(WeightFormat format) {
  return format == WeightFormat::kF32 ? 1 : 2;
}
/// Bytes of a packed rectangle of `num_columns` x `k_count`.
[[nodiscard]] std::int64_t packed_bytes(WeightFormat format, std::int64_t num_columns,
                                        std::int64_t k_count);

/// Packs w[n, k], any floating dtype and any strides, into `out` (packed_bytes long).
/// f32 -> bf16 rounds to nearest even; f16 -> bf16 likewise; bf16 -> f32 is exact.
void pack_piece(const TensorView& w, WeightFormat format, std::byte* out);

/// The inverse, for tests and the reference: w[n, k] of a packed rectangle as f32.
[[nodiscard]] float packed_element(const PackedPiece& piece, WeightFormat format, std::int64_t n,
                                   std::int64_t k);

/// Owns packed pieces. Built piece by piece by the loader; `matrix()` is stable once built.
class PackedWeight {
 public:
  PackedWeight() = default;

  /// A weight that is not cut along K: all rows of `w` [N, K] as one piece.
  [[nodiscard]] static PackedWeight whole(const TensorView& w, WeightFormat format);

  /// Leaves [first_leaf, end_leaf) of `w` [N, K], K cut at `borders` (num_leaves + 1 of them).
  [[nodiscard]] static PackedWeight leaves(const TensorView& w, WeightFormat format,
                                           const std::int64_t* borders, int num_leaves,
                                           int first_leaf, int end_leaf);

  /// Appends `w` [n, K] as output columns [out_begin, out_begin + n) of a weight not cut along K.
  /// Throws kInvalidArgument if K differs from the first piece's.
  void add_columns(const TensorView& w, WeightFormat format, std::int64_t out_begin);

  [[nodiscard]] PackedMatrix matrix() const;
  [[nodiscard]] std::int64_t size_bytes() const;

 private:
  void add_piece(const TensorView& w, PackedPiece piece);

  WeightFormat format_ = WeightFormat::kF32;
  std::int64_t num_columns_ = 0;
  std::int64_t k_ = 0;
  int first_leaf_ = 0;
  int num_leaves_ = 0;
  std::vector<PackedPiece> pieces_;
  std::vector<Tensor> memory_;
};

/// How many leaves a K axis is cut into at the most; also the largest tp (design: cards 1 to 8).
inline constexpr int kMaxLeaves = 8;

/// The fixed summation tree over `num_leaves` leaves: left-balanced binary, so a node over n > 1
/// leaves has the largest power of two below n on its left. Ranks send the sums of the maximal
/// complete subtrees they own; adding those up by the same tree gives every tp the same bits.
struct LeafRange {
  int begin = 0;
  int end = 0;
};
/// Splits the node [begin, end): returns the border between its left and right child. Needs end -
/// begin > 1.
[[nodiscard]] int split_node(LeafRange node);

/// The maximal subtrees of the tree over `num_leaves` leaves that lie inside `owned`, left to
/// right. At most 2 * log2(8) = 6; in fact at most 4. Returns how many were written to `roots`.
inline constexpr int kMaxRoots = 4;
int subtree_roots(int num_leaves, LeafRange owned, LeafRange (&roots)[kMaxRoots]);

/// How to add up some nodes of the tree: `sources` are nodes that together cover it, left to right;
/// then for every step in order, source[into] += source[from]; source 0 ends as the sum. The
/// same additions whatever the sources are, so every cut gives the same bits.
struct TreeProgram {
  struct Add {
    int into = 0;
    int from = 0;
  };
  int num_adds = 0;
  Add adds[kMaxLeaves - 1];
};
/// Throws kInvalidArgument unless the sources are nodes of the tree over `num_leaves` leaves that
/// cover all of it.
[[nodiscard]] TreeProgram make_tree_program(int num_leaves, const LeafRange* sources,
                                            int num_sources);

}  // namespace cardloom
