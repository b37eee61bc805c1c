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

/// Whether two neighbouring bf16 of a row can be read as one 32-bit step.
bool has_dense_columns(const ActivationSource& source) {
  return source.patch == 0 && source.x.stride[1] == 1;
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

/// Steps of 4 bytes: one f32, or two bf16 read as one word.
void pack_dense(const ActivationSource& source, const Segment& segment, std::int64_t first_row,
                std::int64_t rows, std::int64_t full_steps, std::uint32_t* out) {
  const std::int64_t size = size_of(source.x.dtype);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::byte* from =
        source.x.data + ((first_row + row) * source.x.stride[0] + segment.k_begin) * size;
    std::uint32_t* to = out + row;
    for (std::int64_t step = 0; step < full_steps; ++step) {
      std::memcpy(to + step * rows, from + step * 4, 4);
    }
  }
}

void pack_any_f32(const ActivationSource& source, const Segment& segment, std::int64_t first_row,
                  std::int64_t rows, float* out) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t begin = row_offset(source, first_row + row);
    for (std::int64_t step = 0; step < segment.num_steps; ++step) {
      out[step * rows + row] = source_element(source, begin, segment.k_begin + step);
    }
  }
}

/// From `first_step` on; the odd last k is paired with a zero. bf16 survives f32 and back bit for
/// bit (but a NaN's payload, which no result shows).
void pack_any_bf16(const ActivationSource& source, const Segment& segment, std::int64_t first_row,
                   std::int64_t rows, std::int64_t first_step, bf16* out) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t begin = row_offset(source, first_row + row);
    for (std::int64_t step = first_step; step < segment.num_steps; ++step) {
      for (std::int64_t k = step * 2; k < step * 2 + 2; ++k) {
        out[(step * rows + row) * 2 + k % 2] =
            k < segment.k_count ? to_bf16(source_element(source, begin, segment.k_begin + k))
                                : bf16{};
      }
    }
  }
}

/// Packs one block of rows into its place in `packed`.
void pack_block(const ActivationSource& source, const ActivationLayout& layout, std::int64_t block,
                std::byte* packed) {
  const std::int64_t rows = layout.rows_of(block);
  const std::int64_t first_row = source.first_row + block * kMicroRows;
  for (int index = 0; index < layout.num_segments(); ++index) {
    const Segment& segment = layout.segment(index);
    std::byte* out = packed + block * layout.block_bytes() + segment.first_step * rows * 4;
    const bool dense = has_dense_columns(source);
    if (layout.format() == WeightFormat::kF32) {
      if (dense) {
        pack_dense(source, segment, first_row, rows, segment.num_steps,
                   reinterpret_cast<std::uint32_t*>(out));
      } else {
        pack_any_f32(source, segment, first_row, rows, reinterpret_cast<float*>(out));
      }
      continue;
    }
    const std::int64_t full_steps = dense ? segment.k_count / 2 : 0;
    if (dense) {
      pack_dense(source, segment, first_row, rows, full_steps,
                 reinterpret_cast<std::uint32_t*>(out));
    }
    pack_any_bf16(source, segment, first_row, rows, full_steps, reinterpret_cast<bf16*>(out));
  }
}

}  // namespace

ActivationLayout::ActivationLayout(const PackedMatrix& w, std::int64_t rows)
    : format_(w.format), rows_(rows) {
  const auto add = [&](std::int64_t k_begin, std::int64_t k_count) {
    const std::int64_t steps = ceil_div(k_count, step_size(format_));
    segments_[num_segments_++] = {k_begin, k_count, total_steps_, steps};
    total_steps_ += steps;
  };
  if (w.num_leaves == 0) {
    add(0, w.K);
  } else {
    for (int leaf = 0; leaf < w.num_pieces; ++leaf) {
      add(w.pieces[leaf].k_begin, w.pieces[leaf].k_count);
    }
  }
}

void pack_activations(CpuDevice& device, const ActivationSource& source,
                      const ActivationLayout& layout, std::byte* packed) {
  device.pool().parallel_for(layout.num_blocks(), [&](std::int64_t block, int) {
    pack_block(source, layout, block, packed);
  });
}

Panel panel_of(const PackedPiece& piece, std::int64_t index) {
  Panel panel;
  panel.first = index * kPanelColumns;
  panel.columns = std::min(kPanelColumns, piece.num_columns - panel.first);
  panel.width = round_up(panel.columns, kPanelGranule);
  return panel;
}

void segment_tile(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
                  std::int64_t block, int segment, const PackedPiece& piece, const Panel& panel,
                  float* tile) {
  const std::int64_t num_steps = layout.segment(segment).num_steps;
  const std::byte* a = layout.at(packed, block, segment);
  const std::byte* b = piece.data + panel.first * num_steps * 4;  // 4 bytes a step and column
  const std::int64_t rows = layout.rows_of(block);
  if (layout.format() == WeightFormat::kF32) {
    device.gemm().f32(reinterpret_cast<const float*>(a), reinterpret_cast<const float*>(b),
                      num_steps, rows, panel.width, tile);
  } else {
    device.gemm().bf16(reinterpret_cast<const std::uint16_t*>(a),
                       reinterpret_cast<const std::uint16_t*>(b), num_steps, rows, panel.width,
                       tile);
  }
}

void node_tiles(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
                std::int64_t block, const PackedMatrix& w, LeafRange node, std::int64_t first_panel,
                std::int64_t end_panel, float* tiles, float* spare) {
  const std::int64_t tile = layout.rows_of(block) * kPanelColumns;
  if (node.end - node.begin == 1) {
    const int segment = node.begin - w.first_leaf;
    const PackedPiece& piece = w.pieces[segment];
    for (std::int64_t index = first_panel; index < end_panel; ++index) {
      segment_tile(device, layout, packed, block, segment, piece, panel_of(piece, index),
                   tiles + (index - first_panel) * tile);
    }
    return;
  }
  const int middle = split_node(node);
  const std::int64_t count = (end_panel - first_panel) * tile;
  node_tiles(device, layout, packed, block, w, {node.begin, middle}, first_panel, end_panel, tiles,
             spare);
  node_tiles(device, layout, packed, block, w, {middle, node.end}, first_panel, end_panel, spare,
             spare + count);
  for (std::int64_t i = 0; i < count; ++i) tiles[i] += spare[i];
}

namespace {

/// values[j] += from[row, column + j] for j < count, as f32.
void add_row(const CpuDevice& device, const TensorView& from, std::int64_t row, std::int64_t column,
             std::int64_t count, float* values) {
  const std::byte* begin = reference::address(from, row, column);
  alignas(64) float addends[kPanelColumns];
  if (from.stride[1] == 1 && from.dtype == DType::kF32) {
    std::memcpy(addends, begin, static_cast<std::size_t>(count) * 4);
  } else if (from.stride[1] == 1 && from.dtype == DType::kBF16 && is_aligned(begin, 2)) {
    device.rows().bf16_to_f32(reinterpret_cast<const std::uint16_t*>(begin), addends, count);
  } else {
    for (std::int64_t j = 0; j < count; ++j) addends[j] = load(from, row, column + j);
  }
  for (std::int64_t j = 0; j < count; ++j) values[j] += addends[j];
}

void store_row(const CpuDevice& device, const float* values, std::int64_t count,
               const TensorView& out, std::int64_t row, std::int64_t column) {
  std::byte* to = reference::address(out, row, column);
  if (out.stride[1] == 1 && out.dtype == DType::kF32) {
    std::memcpy(to, values, static_cast<std::size_t>(count) * 4);
  } else if (out.stride[1] == 1 && out.dtype == DType::kBF16 && is_aligned(to, 2)) {
    device.rows().f32_to_bf16(values, reinterpret_cast<std::uint16_t*>(to), count);
  } else {
    for (std::int64_t j = 0; j < count; ++j) reference::store(out, values[j], row, column + j);
  }
}

}  // namespace

void store_sums(const CpuDevice& device, const Epilogue& epilogue, std::int64_t row,
                std::int64_t column, std::int64_t rows, std::int64_t columns, const float* sums) {
  alignas(64) float bias[kPanelColumns];
  for (std::int64_t j = 0; epilogue.bias.rank == 1 && j < columns; ++j) {
    bias[j] = load(epilogue.bias, column + j);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    alignas(64) float values[kPanelColumns];
    std::memcpy(values, sums + i * kPanelColumns, static_cast<std::size_t>(columns) * 4);
    for (std::int64_t j = 0; epilogue.bias.rank == 1 && j < columns; ++j) values[j] += bias[j];
    if (epilogue.residual.rank == 2) {
      add_row(device, epilogue.residual, row + i, column, columns, values);
    }
    store_row(device, values, columns, epilogue.out, row + i, column);
  }
}

}  // namespace cardloom::cpu
