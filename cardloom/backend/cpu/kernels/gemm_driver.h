#pragma once

#include <cstdint>
#include <vector>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom::cpu {

/// What all products share: packing activations, making tiles of f32 sums, storing them.

/// A run of k: one piece's range of x's columns, padded to whole steps.
struct Segment {
  std::int64_t k_begin = 0;
  std::int64_t k_count = 0;
  std::int64_t first_step = 0;  ///< steps of the segments before it
  std::int64_t num_steps = 0;
};

/// Where packed activations lie: blocks of kMicroRows rows (the last may have fewer); in a block,
/// step by step along all segments; in a step, row by row.
class ActivationLayout {
 public:
  /// One segment a leaf for a weight cut along K, else one of the whole K.
  ActivationLayout(const PackedMatrix& w, std::int64_t rows);

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t num_blocks() const { return (rows_ + kMicroRows - 1) / kMicroRows; }
  [[nodiscard]] std::int64_t rows_of(std::int64_t block) const {
    const std::int64_t left = rows_ - block * kMicroRows;
    return left < kMicroRows ? left : kMicroRows;
  }
  [[nodiscard]] std::int64_t bytes() const { return num_blocks() * block_bytes(); }
  [[nodiscard]] const Segment& segment(int index) const { return segments_[index]; }
  [[nodiscard]] int num_segments() const { return num_segments_; }
  /// The first step of `segment` in `block`.
  [[nodiscard]] const std::byte* at(const std::byte* packed, std::int64_t block,
                                    int segment) const {
    return packed + block * block_bytes() + segments_[segment].first_step * rows_of(block) * 4;
  }
  [[nodiscard]] std::int64_t block_bytes() const { return total_steps_ * kMicroRows * 4; }
  [[nodiscard]] WeightFormat format() const { return format_; }

 private:
  WeightFormat format_;
  std::int64_t rows_;
  std::int64_t total_steps_ = 0;
  int num_segments_ = 0;
  Segment segments_[kMaxLeaves];
};

/// Reads element (row, k) of what is packed: x itself, or patches of a picture.
struct ActivationSource {
  TensorView x;  ///< [M, K]; or [C, Y, X] if patch > 0
  std::int64_t patch = 0;
  std::int64_t first_row = 0;  ///< row 0 of the packed rows
  /// Of a picture: where element k of a patch lies from the patch's first pixel, in elements.
  const std::int64_t* patch_offsets = nullptr;
};

/// Packs the layout's rows, from source.first_row on, with the whole team. Any strides.
void pack_activations(CpuDevice& device, const ActivationSource& source,
                      const ActivationLayout& layout, std::byte* packed);

/// A panel of a piece: up to 32 columns.
struct Panel {
  std::int64_t first = 0;    ///< column in the piece, a multiple of 32
  std::int64_t columns = 0;  ///< that exist: 1 to 32
  std::int64_t width = 0;    ///< as packed: 16 or 32
};
[[nodiscard]] Panel panel_of(const PackedPiece& piece, std::int64_t index);
[[nodiscard]] inline std::int64_t num_panels(const PackedPiece& piece) {
  return (piece.num_columns + kPanelColumns - 1) / kPanelColumns;
}

/// f32 sums of one micro tile: kMicroRows x 32, row stride 32.
inline constexpr std::int64_t kTileElements = kMicroRows * kPanelColumns;

/// tile = rows of `block` times a panel of `piece`, over segment `segment`.
void segment_tile(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
                  std::int64_t block, int segment, const PackedPiece& piece, const Panel& panel,
                  float* tile);

/// Sums over the tree node `node` for panels [first_panel, end_panel), one tile after another, each
/// rows_of(block) x 32. The node's leaves are pieces [node.begin - w.first_leaf, ..) of a weight
/// cut along K. Leaf by leaf over all the panels: that reads a leaf's panels as one run of memory,
/// which is what counts where few rows make the weights the limit. `spare` holds 3 times as many
/// tiles, one set a level of the tree.
void node_tiles(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
                std::int64_t block, const PackedMatrix& w, LeafRange node, std::int64_t first_panel,
                std::int64_t end_panel, float* tiles, float* spare);

/// Where finished sums go.
struct Epilogue {
  TensorView out;
  TensorView bias;      ///< rank 0: none
  TensorView residual;  ///< rank 0: none
};

/// out[row + i, column + j] = round((sums[i * 32 + j] + bias) + residual) for a micro tile's rows
/// and columns, at most 32.
void store_sums(const CpuDevice& device, const Epilogue& epilogue, std::int64_t row,
                std::int64_t column, std::int64_t rows, std::int64_t columns, const float* sums);

}  // namespace cardloom::cpu
