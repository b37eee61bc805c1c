#include "cardloom/backend/cpu/kernels/gemm_driver.h"

#include <algorithm>
#include <cstring>

#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom::cpu {
namespace {

using reference::load;

/// Whether two neighbouring bf16 of a row can be read as one 32-bit step.
bool has_dense_columns(const ActivationSource& source) {
  return source.patch == 0 && source.x.stride[1] == 1;
}

float source_element(const ActivationSource& source, std::int64_t row, std::int64_t k) {
  if (source.patch == 0) return load(source.x, row, k);
  const std::int64_t patch = source.patch;
  const std::int64_t columns = source.x.shape[2] / patch;
  return load(source.x, k / (patch * patch), (row / columns) * patch + (k / patch) % patch,
              (row % columns) * patch + k % patch);
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
  for (std::int64_t step = 0; step < segment.num_steps; ++step) {
    for (std::int64_t row = 0; row < rows; ++row) {
      out[step * rows + row] = source_element(source, first_row + row, segment.k_begin + step);
    }
  }
}

/// From `first_step` on; the odd last k is paired with a zero. bf16 survives f32 and back bit for
/// bit (but a NaN's payload, which no result shows).
void pack_any_bf16(const ActivationSource& source, const Segment& segment, std::int64_t first_row,
                   std::int64_t rows, std::int64_t first_step, bf16* out) {
  for (std::int64_t step = first_step; step < segment.num_steps; ++step) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t part = 0; part < 2; ++part) {
        const std::int64_t k = step * 2 + part;
        out[(step * rows + row) * 2 + part] =
            k < segment.k_count
                ? to_bf16(source_element(source, first_row + row, segment.k_begin + k))
                : bf16{};
      }
    }
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

void pack_block(CpuDevice&, const ActivationSource& source, const ActivationLayout& layout,
                std::int64_t block, std::byte* packed) {
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

void pack_activations(CpuDevice& device, const ActivationSource& source,
                      const ActivationLayout& layout, std::byte* packed) {
  device.pool().parallel_for(layout.num_blocks(), [&](std::int64_t block, int) {
    pack_block(device, source, layout, block, packed);
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

void node_tile(const CpuDevice& device, const ActivationLayout& layout, const std::byte* packed,
               std::int64_t block, const PackedMatrix& w, LeafRange node, const Panel& panel,
               float* tile, float* spare) {
  if (node.end - node.begin == 1) {
    const int segment = node.begin - w.first_leaf;
    segment_tile(device, layout, packed, block, segment, w.pieces[segment], panel, tile);
    return;
  }
  const int middle = split_node(node);
  node_tile(device, layout, packed, block, w, {node.begin, middle}, panel, tile, spare);
  node_tile(device, layout, packed, block, w, {middle, node.end}, panel, spare,
            spare + kTileElements);
  const std::int64_t count = layout.rows_of(block) * kPanelColumns;
  for (std::int64_t i = 0; i < count; ++i) tile[i] += spare[i];
}

void store_sums(const CpuDevice& device, const Epilogue& epilogue, std::int64_t row,
                std::int64_t column, std::int64_t rows, std::int64_t columns, const float* sums,
                std::int64_t sums_stride) {
  const TensorView& out = epilogue.out;
  float bias[kPanelColumns];
  for (std::int64_t first = 0; first < columns; first += kPanelColumns) {
    const std::int64_t width = std::min(kPanelColumns, columns - first);
    const bool has_bias = epilogue.bias.rank == 1;
    for (std::int64_t j = 0; has_bias && j < width; ++j) {
      bias[j] = load(epilogue.bias, column + first + j);
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      alignas(64) float values[kPanelColumns];
      std::memcpy(values, sums + i * sums_stride + first, static_cast<std::size_t>(width) * 4);
      for (std::int64_t j = 0; has_bias && j < width; ++j) values[j] += bias[j];
      for (std::int64_t j = 0; epilogue.residual.rank == 2 && j < width; ++j) {
        values[j] += load(epilogue.residual, row + i, column + first + j);
      }
      std::byte* to = reference::address(out, row + i, column + first);
      if (out.stride[1] == 1 && out.dtype == DType::kF32) {
        std::memcpy(to, values, static_cast<std::size_t>(width) * 4);
      } else if (out.stride[1] == 1 && out.dtype == DType::kBF16 &&
                 reinterpret_cast<std::uintptr_t>(to) % 2 == 0) {
        device.rows().f32_to_bf16(values, reinterpret_cast<std::uint16_t*>(to), width);
      } else {
        for (std::int64_t j = 0; j < width; ++j) {
          reference::store(out, values[j], row + i, column + first + j);
        }
      }
    }
  }
}

}  // namespace cardloom::cpu
