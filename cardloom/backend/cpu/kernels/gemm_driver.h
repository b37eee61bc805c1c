#pragma once

#include <cstdint>
#include <vector>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom::cpu {

/// What all products share: packing activations, making tiles of f32 sums, storing them.

/// The micro kernel of an encoding.
[[nodiscard]] GemmKernel kernel_of(const GemmKernels& kernels, Encoding encoding);

/// A run of k: one piece's range of x's columns, in whole k blocks.
struct Segment {
  std::int64_t k_begin = 0;
  std::int64_t k_count = 0;
  std::int64_t first_block = 0;  ///< k blocks of the segments before it
  std::int64_t num_blocks = 0;
};

/// Where packed activations lie: row blocks of kernels.block_rows rows (the last may have fewer);
/// in a row block, k block by k block along all segments as GemmRows says; then, where quantised,
/// the scales and the sums.
class ActivationLayout {
 public:
  /// One segment a leaf for a weight cut along K, else one of the whole K.
  ActivationLayout(const GemmKernels& kernels, const PackedMatrix& w, std::int64_t rows);

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t block_rows() const { return block_rows_; }
  [[nodiscard]] std::int64_t num_blocks() const { return (rows_ + block_rows_ - 1) / block_rows_; }
  [[nodiscard]] std::int64_t rows_of(std::int64_t block) const {
    const std::int64_t left = rows_ - block * block_rows_;
    return left < block_rows_ ? left : block_rows_;
  }
  [[nodiscard]] std::int64_t padded_rows_of(std::int64_t block) const {
    return (rows_of(block) + row_granule_ - 1) / row_granule_ * row_granule_;
  }
  [[nodiscard]] std::int64_t bytes() const { return num_blocks() * block_bytes_; }
  [[nodiscard]] const Segment& segment(int index) const { return segments_[index]; }
  [[nodiscard]] int num_segments() const { return num_segments_; }
  [[nodiscard]] WeightFormat format() const { return format_; }
  [[nodiscard]] std::int64_t row_bytes() const { return row_bytes_; }  ///< of a row's k block

  /// Rows `block` from k block `k_block` of all segments' on; `packed` may be written through it.
  [[nodiscard]] GemmRows at(const std::byte* packed, std::int64_t block,
                            std::int64_t k_block) const;

 private:
  WeightFormat format_;
  std::int64_t rows_;
  std::int64_t block_rows_;
  std::int64_t row_granule_;
  std::int64_t row_bytes_;  ///< of one k block
  std::int64_t total_blocks_ = 0;
  std::int64_t block_bytes_ = 0;  ///< of one row block
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

/// Packs (and quantises) the layout's rows, from source.first_row on, with the whole team. Any
/// strides: dense rows are moved by lines, others gathered element by element.
void pack_activations(CpuDevice& device, const ActivationSource& source,
                      const ActivationLayout& layout, std::byte* packed);

/// Columns of a panel that exist: 1 to 32.
[[nodiscard]] inline std::int64_t panel_columns(std::int64_t num_columns, std::int64_t panel) {
  const std::int64_t left = num_columns - panel * kPanelColumns;
  return left < kPanelColumns ? left : kPanelColumns;
}
[[nodiscard]] inline std::int64_t num_panels(std::int64_t num_columns) {
  return (num_columns + kPanelColumns - 1) / kPanelColumns;
}

/// A micro tile of sums has row stride 32 and room for this many f32.
inline constexpr std::int64_t kTileElements = kMaxBlockRows * kPanelColumns;

/// Some row blocks times some panels, and where their micro tiles lie.
struct TileGrid {
  std::int64_t first_block = 0;
  std::int64_t end_block = 0;
  std::int64_t first_panel = 0;
  std::int64_t end_panel = 0;
  float* tiles = nullptr;         ///< of (first_block, first_panel)
  std::int64_t block_stride = 0;  ///< f32 from a row block to the next
  std::int64_t panel_stride = 0;  ///< f32 from a panel to the next

  [[nodiscard]] float* tile(std::int64_t block, std::int64_t panel) const {
    return tiles + (block - first_block) * block_stride + (panel - first_panel) * panel_stride;
  }
  [[nodiscard]] std::int64_t num_tiles() const {
    return (end_block - first_block) * (end_panel - first_panel);
  }
  /// The same tiles in memory of their own, one after another.
  [[nodiscard]] TileGrid in(float* memory) const;
};

/// Rows packed at once: 1,024 rows of K = 13,696 are 28 MB, which a server's last-level cache
/// holds; and weights are read from memory only every 1,024 rows.
inline constexpr std::int64_t kProductRowsAtOnce = 1024;

/// Where rows are many: a task takes about this many of them (whole row blocks) and this many
/// panels. 256 rows of a leaf of 1,728 are 0.9 MB of activations and their sums 0.25 MB, a set a
/// level of the leaf tree: together they fit an L2 of 2 MB.
inline constexpr std::int64_t kRowsPerTask = 256;
inline constexpr std::int64_t kPanelsPerTask = 8;
[[nodiscard]] std::int64_t blocks_per_task(const ActivationLayout& layout);
/// One row block streams its weights: tasks of about 512 KiB, 30 us of reading, so that the team
/// ends together and yet streams seldom start anew.
[[nodiscard]] std::int64_t panels_per_task(const ActivationLayout& layout);
/// f32 that node_sums needs beside the grid, at the most: one set of tiles a level of the tree.
[[nodiscard]] std::int64_t spare_elements(const ActivationLayout& layout);

/// Every tile of the grid = its rows times a panel of `piece` over segment `segment`.
void segment_sums(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
                  int segment, const PackedPiece& piece, const TileGrid& grid);

/// Every tile of the grid = the sum over the tree node `node`, whose leaves are pieces
/// [node.begin - w.first_leaf, ..) of a weight cut along K.
void node_sums(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
               const PackedMatrix& w, LeafRange node, const TileGrid& grid, float* spare);

/// What micro kernels need on this thread, while it lives.
class KernelUse {
 public:
  explicit KernelUse(const CpuDevice& device) : kernels_(device.gemm()) { kernels_.begin(); }
  ~KernelUse() { kernels_.end(); }
  KernelUse(const KernelUse&) = delete;
  KernelUse& operator=(const KernelUse&) = delete;

 private:
  const GemmKernels& kernels_;
};

/// Where finished sums go.
struct Epilogue {
  TensorView out;
  TensorView bias;      ///< rank 0: none
  TensorView residual;  ///< rank 0: none
};

/// out[row, column + j] = round((sums[j] + bias[column + j]) + residual[row, column + j]) for j <
/// count; sums is overwritten.
void store_row_sums(const CpuDevice& device, const Epilogue& epilogue, std::int64_t row,
                    std::int64_t column, std::int64_t count, float* sums);

/// out[row + i, column + j] = round((sums[i * 32 + j] + bias) + residual) for a micro tile's rows
/// and columns, at most 32.
void store_sums(const CpuDevice& device, const Epilogue& epilogue, std::int64_t row,
                std::int64_t column, std::int64_t rows, std::int64_t columns, const float* sums);

/// store_sums of every tile of the grid; its rows begin at out's row `first_row`, its panels are
/// `piece`'s, whose output columns and their number count (its weights do not).
void store_grid(const CpuDevice& device, const ActivationLayout& layout, const Epilogue& epilogue,
                std::int64_t first_row, const PackedPiece& piece, const TileGrid& grid);

}  // namespace cardloom::cpu
