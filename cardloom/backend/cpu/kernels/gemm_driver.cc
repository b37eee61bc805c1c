#include "cardloom/backend/cpu/kernels/gemm_driver.h"

#include <algorithm>
#include <cstring>

#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom::cpu {
namespace {

using reference::load;

bool is_aligned(const std::byte* address, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
}

constexpr std::int64_t kLineBytes = 64;

/// Packing writes where kernels read.
template <class T>
T* writable(const T* packed) {
  return const_cast<T*>(packed);
}

/// Where k = 0 of a row lies, in elements from the first of x.
std::int64_t row_offset(const ActivationSource& source, std::int64_t row) {
  if (source.patch == 0) return row * source.x.stride[0];
  const std::int64_t columns = source.x.shape[2] / source.patch;
  return row / columns * source.patch * source.x.stride[1] +
         row % columns * source.patch * source.x.stride[2];
}

float source_element(const ActivationSource& source, std::int64_t row_begin, std::int64_t k) {
  const std::int64_t offset = source.patch == 0 ? k * source.x.stride[1] : source.patch_offsets[k];
  const std::byte* from = source.x.data + (row_begin + offset) * size_of(source.x.dtype);
  if (source.x.dtype == DType::kF32) return reference::load_as<float>(from);
  return to_f32(reference::load_as<bf16>(from));
}

/// One row of a segment that lies dense: whole lines, then the rest.
void pack_dense_row(const std::byte* from, std::int64_t bytes, std::int64_t num_blocks,
                    std::int64_t line_stride, std::byte* out) {
  const std::int64_t full = bytes / kLineBytes;
  for (std::int64_t block = 0; block < full; ++block) {
    std::memcpy(out + block * line_stride, from + block * kLineBytes, kLineBytes);
  }
  if (full == num_blocks) return;
  const auto rest = static_cast<std::size_t>(bytes - full * kLineBytes);
  std::memcpy(out + full * line_stride, from + full * kLineBytes, rest);
  std::memset(out + full * line_stride + rest, 0, kLineBytes - rest);
}

/// Gathers one row of a segment as f32 or bf16 into `out`, back to back. bf16 survives f32 and back
/// bit for bit (but a NaN's payload, which no result shows).
void gather_row(const ActivationSource& source, const Segment& segment, std::int64_t row, bool wide,
                std::byte* out) {
  const std::int64_t begin = row_offset(source, row);
  for (std::int64_t k = 0; k < segment.k_count; ++k) {
    const float value = source_element(source, begin, segment.k_begin + k);
    if (wide) {
      reinterpret_cast<float*>(out)[k] = value;
    } else {
      reinterpret_cast<bf16*>(out)[k] = to_bf16(value);
    }
  }
}

/// Rows of a block beyond the real ones: whole tiles are multiplied, so they must be zero.
void clear_padding(const ActivationLayout& layout, const GemmRows& to, std::int64_t num_blocks) {
  const std::int64_t missing = to.padded_rows - to.rows;
  if (missing == 0) return;
  const bool quantised = layout.format().is_quantised();
  const std::int64_t row_bytes = quantised ? layout.format().group : kLineBytes;
  for (std::int64_t block = 0; block < num_blocks; ++block) {
    const std::int64_t at = block * to.padded_rows + to.rows;
    std::memset(writable(to.values) + at * row_bytes, 0,
                static_cast<std::size_t>(missing * row_bytes));
    if (!quantised) continue;
    std::memset(writable(to.scales) + at, 0, static_cast<std::size_t>(missing) * 4);
    std::memset(writable(to.sums) + at, 0, static_cast<std::size_t>(missing) * 4);
  }
}

/// Packs one segment of one row block; `gathered` has room for the segment's k as f32.
void pack_segment(const CpuDevice& device, const ActivationSource& source,
                  const ActivationLayout& layout, std::int64_t block, int index, std::byte* packed,
                  std::byte* gathered) {
  const Segment& segment = layout.segment(index);
  const GemmRows to = layout.at(packed, block, segment.first_block);
  const bool wide = layout.format() == WeightFormat::kF32;
  const std::int64_t size = wide ? 4 : 2;
  const bool dense =
      source.patch == 0 && source.x.stride[1] == 1 && size_of(source.x.dtype) == size;
  for (std::int64_t row = 0; row < to.rows; ++row) {
    const std::int64_t x_row = source.first_row + block * layout.block_rows() + row;
    const std::byte* from = gathered;
    if (dense) {
      from = source.x.data + (x_row * source.x.stride[0] + segment.k_begin) * size;
    }
    // A quantiser reads 16-bit words: rows at odd addresses are gathered too.
    if (!dense || (layout.format().is_quantised() && !is_aligned(from, 2))) {
      gather_row(source, segment, x_row, wide, gathered);
      from = gathered;
    }
    if (layout.format().is_quantised()) {
      device.gemm().quantise_row(
          reinterpret_cast<const std::uint16_t*>(from), segment.k_count, layout.format().group,
          to.padded_rows,
          reinterpret_cast<std::int8_t*>(writable(to.values)) + row * layout.format().group,
          writable(to.scales) + row, writable(to.sums) + row);
    } else {
      pack_dense_row(from, segment.k_count * size, segment.num_blocks, to.padded_rows * kLineBytes,
                     writable(to.values) + row * kLineBytes);
    }
  }
  clear_padding(layout, to, segment.num_blocks);
}

/// 64-byte lines of a row that a panel and a row block stay in L1 for: on path amx 8 lines are 16
/// KiB of weights beside 16 KiB of activations (measured best of 4 to 128); less elsewhere.
constexpr std::int64_t kLinesInL1 = 8;
constexpr std::int64_t kFewBlocks = 4;
constexpr std::int64_t kLinesInL2 = 512;  ///< x 32 rows x 64 bytes are 1 MiB

/// Asks for part `part` of `parts` of some bytes, into L2.
void prefetch_part(const std::byte* from, std::int64_t bytes, std::int64_t part,
                   std::int64_t parts) {
  const std::int64_t begin = bytes * part / parts / kLineBytes * kLineBytes;
  const std::int64_t end = bytes * (part + 1) / parts;
  for (std::int64_t at = begin; at < end; at += kLineBytes) __builtin_prefetch(from + at, 0, 2);
}

}  // namespace

GemmKernel kernel_of(const GemmKernels& kernels, Encoding encoding) {
  switch (encoding) {
    case Encoding::kF32:
      return kernels.f32;
    case Encoding::kBF16:
      return kernels.bf16;
    case Encoding::kQ8:
      return kernels.q8;
    case Encoding::kQ4:
      return kernels.q4;
    case Encoding::kQ4Z:
      return kernels.q4z;
  }
  return kernels.f32;
}

ActivationLayout::ActivationLayout(const GemmKernels& kernels, const PackedMatrix& w,
                                   std::int64_t rows)
    : format_(w.format),
      rows_(rows),
      block_rows_(kernels.block_rows),
      row_granule_(kernels.row_granule),
      row_bytes_(w.format.is_quantised() ? w.format.group : kLineBytes) {
  const auto add = [&](std::int64_t k_begin, std::int64_t k_count) {
    const std::int64_t blocks = num_k_blocks(format_, k_count);
    segments_[num_segments_++] = {k_begin, k_count, total_blocks_, blocks};
    total_blocks_ += blocks;
  };
  if (w.num_leaves == 0) {
    add(0, w.K);
  } else {
    for (int leaf = 0; leaf < w.num_pieces; ++leaf) {
      add(w.pieces[leaf].k_begin, w.pieces[leaf].k_count);
    }
  }
  const std::int64_t extra = format_.is_quantised() ? 8 : 0;  // a scale and a sum
  block_bytes_ = round_up(total_blocks_ * block_rows_ * (row_bytes_ + extra), kLineBytes);
}

GemmRows ActivationLayout::at(const std::byte* packed, std::int64_t block,
                              std::int64_t k_block) const {
  const std::int64_t padded = padded_rows_of(block);
  const std::byte* begin = packed + block * block_bytes_;
  const auto* scales =
      reinterpret_cast<const float*>(begin + total_blocks_ * block_rows_ * row_bytes_);
  const auto* sums = reinterpret_cast<const std::int32_t*>(scales + total_blocks_ * block_rows_);
  return {.values = begin + k_block * padded * row_bytes_,
          .scales = scales + k_block * padded,
          .sums = sums + k_block * padded,
          .rows = rows_of(block),
          .padded_rows = padded,
          .streams = false};
}

void pack_activations(CpuDevice& device, const ActivationSource& source,
                      const ActivationLayout& layout, std::byte* packed) {
  std::int64_t longest = 0;
  for (int index = 0; index < layout.num_segments(); ++index) {
    longest = std::max(longest, layout.segment(index).k_count);
  }
  const std::int64_t num_segments = layout.num_segments();
  const auto pack = [&](std::int64_t task, int worker) {
    std::byte* gathered = device.scratch(worker, longest * 4);
    pack_segment(device, source, layout, task / num_segments, static_cast<int>(task % num_segments),
                 packed, gathered);
  };
  const std::int64_t num_tasks = layout.num_blocks() * num_segments;
  // A few rows are packed sooner than a team is woken.
  constexpr std::int64_t kAloneBytes = 64 << 10;
  if (layout.rows() * longest * num_segments * 2 <= kAloneBytes) {
    for (std::int64_t task = 0; task < num_tasks; ++task) pack(task, 0);
  } else {
    device.pool().parallel_for(num_tasks, pack);
  }
}

TileGrid TileGrid::in(float* memory) const {
  TileGrid grid = *this;
  grid.tiles = memory;
  grid.panel_stride = kTileElements;
  grid.block_stride = (end_panel - first_panel) * kTileElements;
  return grid;
}

std::int64_t blocks_per_task(const ActivationLayout& layout) {
  return std::max<std::int64_t>(kRowsPerTask / layout.block_rows(), 1);
}

std::int64_t panels_per_task(const ActivationLayout& layout) {
  if (layout.num_blocks() != 1 || layout.num_segments() == 0) return kPanelsPerTask;
  constexpr std::int64_t kStreamedBytes = 512 << 10;
  const Segment& last = layout.segment(layout.num_segments() - 1);
  const std::int64_t panel_bytes = std::max<std::int64_t>(
      (last.first_block + last.num_blocks) * packed_block_bytes(layout.format()), 1);
  return std::clamp<std::int64_t>(kStreamedBytes / panel_bytes, 1, kPanelsPerTask);
}

std::int64_t spare_elements(const ActivationLayout& layout) {
  constexpr std::int64_t kLevels = 3;  // log2(kMaxLeaves)
  return kLevels * std::min(blocks_per_task(layout), layout.num_blocks()) * kPanelsPerTask *
         kTileElements;
}

void segment_sums(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
                  int segment, const PackedPiece& piece, const TileGrid& grid) {
  const Segment& k = layout.segment(segment);
  const GemmKernel kernel = kernel_of(device.gemm(), layout.format().encoding);
  const std::int64_t group = layout.format().group;
  const std::int64_t blocks = grid.end_block - grid.first_block;
  const std::int64_t block_bytes = packed_block_bytes(layout.format());
  // One row block takes its weights as one stream. Few read them from memory with the first and
  // from L2 with the others, where the activations lie too. Many go by slices that stay in L1.
  const std::int64_t lines = blocks <= kFewBlocks ? kLinesInL2 / blocks : kLinesInL1;
  const std::int64_t at_once =
      blocks == 1 ? std::max<std::int64_t>(k.num_blocks, 1)
                  : std::max<std::int64_t>(lines * kLineBytes / layout.row_bytes(), 1);
  for (std::int64_t begin = 0; begin == 0 || begin < k.num_blocks; begin += at_once) {
    const std::int64_t count = std::min(at_once, k.num_blocks - begin);
    for (std::int64_t panel = grid.first_panel; panel < grid.end_panel; ++panel) {
      const std::byte* weights = piece.data + panel * piece.panel_stride + begin * block_bytes;
      // What comes next: the same k of the next panel, or the first panel's next k.
      const std::byte* next =
          panel + 1 < grid.end_panel
              ? weights + piece.panel_stride
              : weights + count * block_bytes - (panel - grid.first_panel) * piece.panel_stride;
      for (std::int64_t block = grid.first_block; block < grid.end_block; ++block) {
        if (blocks > kFewBlocks) {
          prefetch_part(next, count * block_bytes, block - grid.first_block, blocks);
        }
        GemmRows rows = layout.at(packed, block, k.first_block + begin);
        rows.streams = blocks <= kFewBlocks && block == grid.first_block;
        kernel(rows, weights, count, group, begin > 0, grid.tile(block, panel));
      }
    }
  }
}

void node_sums(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
               const PackedMatrix& w, LeafRange node, const TileGrid& grid, float* spare) {
  if (node.end - node.begin == 1) {
    const int segment = node.begin - w.first_leaf;
    segment_sums(device, layout, packed, segment, w.pieces[segment], grid);
    return;
  }
  const int middle = split_node(node);
  const TileGrid right = grid.in(spare);
  float* next = spare + grid.num_tiles() * kTileElements;
  node_sums(device, layout, packed, w, {node.begin, middle}, grid, spare);
  node_sums(device, layout, packed, w, {middle, node.end}, right, next);
  for (std::int64_t block = grid.first_block; block < grid.end_block; ++block) {
    const std::int64_t count = layout.rows_of(block) * kPanelColumns;
    for (std::int64_t panel = grid.first_panel; panel < grid.end_panel; ++panel) {
      device.rows().add(grid.tile(block, panel), right.tile(block, panel), grid.tile(block, panel),
                        count);
    }
  }
}

namespace {

bool is_dense_bf16(const TensorView& view, std::int64_t row, std::int64_t column) {
  return view.dtype == DType::kBF16 && view.stride[1] == 1 &&
         is_aligned(reference::address(view, row, column), 2);
}

/// values[j] += from[row, column + j] for j < count, as f32.
void add_row(const CpuDevice& device, const TensorView& from, std::int64_t row, std::int64_t column,
             std::int64_t count, float* values) {
  const RowKernels& rows = device.rows();
  alignas(64) float addends[128];
  for (std::int64_t j = 0; j < count; j += 128) {
    const std::int64_t run = std::min<std::int64_t>(128, count - j);
    const std::byte* begin = reference::address(from, row, column + j);
    if (is_dense_bf16(from, row, column + j)) {
      rows.bf16_to_f32(reinterpret_cast<const std::uint16_t*>(begin), addends, run);
    } else if (from.stride[1] == 1 && from.dtype == DType::kF32) {
      std::memcpy(addends, begin, static_cast<std::size_t>(run) * 4);
    } else {
      for (std::int64_t i = 0; i < run; ++i) addends[i] = load(from, row, column + j + i);
    }
    rows.add(values + j, addends, values + j, run);
  }
}

void store_row(const CpuDevice& device, const float* values, std::int64_t count,
               const TensorView& out, std::int64_t row, std::int64_t column) {
  std::byte* to = reference::address(out, row, column);
  if (out.stride[1] == 1 && out.dtype == DType::kF32) {
    std::memcpy(to, values, static_cast<std::size_t>(count) * 4);
  } else if (is_dense_bf16(out, row, column)) {
    device.rows().f32_to_bf16(values, reinterpret_cast<std::uint16_t*>(to), count);
  } else {
    for (std::int64_t j = 0; j < count; ++j) reference::store(out, values[j], row, column + j);
  }
}

}  // namespace

void store_sums(const CpuDevice& device, const Epilogue& epilogue, std::int64_t row,
                std::int64_t column, std::int64_t rows, std::int64_t columns, const float* sums) {
  alignas(64) float bias[kPanelColumns];
  const bool has_bias = epilogue.bias.rank == 1;
  const bool has_residual = epilogue.residual.rank == 2;
  for (std::int64_t j = 0; has_bias && j < columns; ++j) bias[j] = load(epilogue.bias, column + j);
  if (is_dense_bf16(epilogue.out, row, column) &&
      (!has_residual || is_dense_bf16(epilogue.residual, row, column))) {
    const auto* residual =
        has_residual ? reference::address(epilogue.residual, row, column) : nullptr;
    device.rows().store_bf16_tile(
        sums, has_bias ? bias : nullptr, reinterpret_cast<const std::uint16_t*>(residual),
        epilogue.residual.stride[0],
        reinterpret_cast<std::uint16_t*>(reference::address(epilogue.out, row, column)),
        epilogue.out.stride[0], rows, columns);
    return;
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    alignas(64) float values[kPanelColumns];
    std::memcpy(values, sums + i * kPanelColumns, static_cast<std::size_t>(columns) * 4);
    store_row_sums(device, epilogue, row + i, column, columns, values);
  }
}

void store_grid(const CpuDevice& device, const ActivationLayout& layout, const Epilogue& epilogue,
                std::int64_t first_row, const PackedPiece& piece, const TileGrid& grid) {
  for (std::int64_t block = grid.first_block; block < grid.end_block; ++block) {
    for (std::int64_t panel = grid.first_panel; panel < grid.end_panel; ++panel) {
      store_sums(device, epilogue, first_row + block * layout.block_rows(),
                 piece.out_begin + panel * kPanelColumns, layout.rows_of(block),
                 panel_columns(piece.num_columns, panel), grid.tile(block, panel));
    }
  }
}

void store_row_sums(const CpuDevice& device, const Epilogue& epilogue, std::int64_t row,
                    std::int64_t column, std::int64_t count, float* sums) {
  if (epilogue.bias.rank == 1) {
    add_row(device, epilogue.bias.unflatten(0, epilogue.bias.shape[0]), 0, column, count, sums);
  }
  if (epilogue.residual.rank == 2) add_row(device, epilogue.residual, row, column, count, sums);
  store_row(device, sums, count, epilogue.out, row, column);
}

}  // namespace cardloom::cpu
