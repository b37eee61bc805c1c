#include "cardloom/quant/packed_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"

namespace cardloom {
namespace {

constexpr std::int64_t kMaxGroup = 128;
constexpr std::int64_t kScaleBytes = kPanelColumns * 2;

/// Unaligned loads: a checkpoint's data may begin at any byte.
template <class T>
T load(const std::byte* address) {
  T value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

float load_f32(DType dtype, const std::byte* address) {
  if (dtype == DType::kBF16) return to_f32(load<bf16>(address));
  if (dtype == DType::kF16) return to_f32(load<f16>(address));
  return load<float>(address);
}

/// bf16 sources keep their bits (also of NaNs); others are rounded.
bf16 load_bf16(DType dtype, const std::byte* address) {
  return dtype == DType::kBF16 ? load<bf16>(address) : to_bf16(load_f32(dtype, address));
}

/// bf16 rows that lie dense are moved as pairs, a line of 16 pairs at a time.
void pack_dense_bf16(const TensorView& w, std::int64_t full_blocks, std::byte* out) {
  for (std::int64_t block = 0; block < full_blocks; ++block) {
    for (std::int64_t n = 0; n < w.shape[0]; ++n) {
      std::uint32_t pairs[16];
      std::memcpy(pairs, w.data + (n * w.stride[0] + block * 32) * 2, sizeof pairs);
      auto* to = reinterpret_cast<std::uint32_t*>(out) + n;
      for (const std::uint32_t pair : pairs) {
        *to = pair;
        to += kPanelColumns;
      }
    }
    out += 16 * kPanelColumns * 4;
  }
}

/// From k_begin on; `step` elements are 4 bytes.
template <class T, class Load>
void pack_elements(const TensorView& w, std::int64_t k_begin, std::int64_t step, Load load_element,
                   T* out) {
  const std::int64_t size = size_of(w.dtype);
  for (std::int64_t n = 0; n < w.shape[0]; ++n) {
    const std::byte* row = w.data + n * w.stride[0] * size;
    for (std::int64_t k = k_begin; k < w.shape[1]; ++k) {
      out[(k / step * kPanelColumns + n) * step + k % step] =
          load_element(w.dtype, row + k * w.stride[1] * size);
    }
  }
}

/// Of one group of one column.
struct Scale {
  float scale = 0;
  float zero = 0;
  float low = 0;
  float high = 0;
};

Scale make_scale(WeightFormat format, const float* w, std::int64_t count) {
  float least = 0;
  float most = 0;
  float sum = 0;  // of magnitudes: not finite if any number is not
  for (std::int64_t i = 0; i < count; ++i) {
    least = std::min(least, w[i]);
    most = std::max(most, w[i]);
    sum += std::fabs(w[i]);
  }
  Scale result;
  if (format.encoding == Encoding::kQ8) {
    result = {std::max(most, -least) / 127.0F, 0, -127, 127};
  } else if (format.encoding == Encoding::kQ4) {
    result = {(most > -least ? most : least) / -8.0F, 0, -8, 7};
  } else {
    result = {(most - least) / 15.0F, 0, 0, 15};
  }
  result.scale = to_f32(to_f16(result.scale));
  if (!std::isfinite(sum) || !std::isfinite(result.scale)) {
    throw_error(ErrorCode::kInvalidArgument,
                "a weight to be quantised must be finite, and small enough for f16 scales",
                fmt::format("a group of {} numbers from {} to {}, sum of magnitudes {}", count,
                            least, most, sum),
                "keep it as bf16 (--weights, --vision-weights), or repair the checkpoint");
  }
  if (format.encoding == Encoding::kQ4Z && result.scale != 0) {
    result.zero = std::clamp(std::nearbyint(-least / result.scale), 0.0F, 15.0F);
  }
  return result;
}

/// One group of one column: `count` numbers, as many as are left of the group.
void quantise(WeightFormat format, const float* w, std::int64_t count, std::byte* block,
              std::int64_t n) {
  const Scale scale = make_scale(format, w, count);
  const f16 stored = to_f16(scale.scale);
  std::memcpy(block + n * 2, &stored, 2);
  if (format.encoding == Encoding::kQ4Z) {
    const auto zero = static_cast<std::int16_t>(scale.zero);
    std::memcpy(block + kScaleBytes + n * 2, &zero, 2);
  }
  const float factor = scale.scale == 0 ? 0 : 1.0F / scale.scale;
  const bool is_q8 = format.encoding == Encoding::kQ8;
  auto* values = reinterpret_cast<std::uint8_t*>(block + kScaleBytes +
                                                 (format.encoding == Encoding::kQ4Z ? 64 : 0));
  // Adding and taking off 1.5 * 2^23 rounds to an integer, ties to even, in code that vectorises.
  constexpr float kRounder = 12582912.0F;
  int q[kMaxGroup] = {};
  const float limit = is_q8 ? 127 : 16;
  for (std::int64_t i = 0; i < count; ++i) {
    const float near = std::clamp(w[i] * factor, -limit, limit) + kRounder - kRounder;
    q[i] = static_cast<int>(std::clamp(near + scale.zero, scale.low, scale.high));
  }
  if (is_q8) {
    for (std::int64_t k = 0; k < count; ++k) {
      values[(k / 4 * kPanelColumns + n) * 4 + k % 4] = static_cast<std::uint8_t>(q[k]);
    }
    return;
  }
  const int offset = format.encoding == Encoding::kQ4 ? 8 : 0;
  // Numbers beyond the weight meet activations of zero, so they may hold anything.
  for (std::int64_t k = 0; k < format.group; ++k) {
    std::uint8_t& byte = values[(k / 8 * kPanelColumns + n) * 4 + k % 4];
    const int nibble = q[k] + offset;
    byte =
        static_cast<std::uint8_t>(k % 8 < 4 ? (byte & 0xf0) | nibble : (byte & 0x0f) | nibble << 4);
  }
}

void pack_quantised(const TensorView& w, WeightFormat format, std::byte* out) {
  const std::int64_t size = size_of(w.dtype);
  const std::int64_t num_blocks = num_k_blocks(format, w.shape[1]);
  float values[kMaxGroup];
  for (std::int64_t block = 0; block < num_blocks; ++block) {
    const std::int64_t begin = block * format.group;
    const std::int64_t count = std::min<std::int64_t>(format.group, w.shape[1] - begin);
    for (std::int64_t n = 0; n < w.shape[0]; ++n) {
      const std::byte* row = w.data + n * w.stride[0] * size;
      for (std::int64_t i = 0; i < count; ++i) {
        values[i] = load_f32(w.dtype, row + (begin + i) * w.stride[1] * size);
      }
      quantise(format, values, count, out + block * packed_block_bytes(format), n);
    }
  }
}

std::int64_t panel_bytes(WeightFormat format, std::int64_t k_count) {
  return num_k_blocks(format, k_count) * packed_block_bytes(format);
}

const std::byte* block_of(const PackedPiece& piece, WeightFormat format, std::int64_t n,
                          std::int64_t k) {
  return piece.data + n / kPanelColumns * piece.panel_stride +
         k / k_per_block(format) * packed_block_bytes(format);
}

}  // namespace

TensorView PackedMatrix::as_operand() const {
  return make_view(nullptr, activation_dtype(format), {N, K});
}

std::int64_t packed_bytes(WeightFormat format, std::int64_t num_columns, std::int64_t k_count) {
  return ceil_div(num_columns, kPanelColumns) * panel_bytes(format, k_count);
}

void pack_panel(const TensorView& w, WeightFormat format, std::byte* out) {
  std::memset(out, 0, static_cast<std::size_t>(panel_bytes(format, w.shape[1])));
  if (format.is_quantised()) {
    pack_quantised(w, format, out);
  } else if (format == WeightFormat::kF32) {
    pack_elements(w, 0, 1, load_f32, reinterpret_cast<float*>(out));
  } else {
    const bool is_dense = w.dtype == DType::kBF16 && w.stride[1] == 1;
    const std::int64_t full_blocks = is_dense ? w.shape[1] / 32 : 0;
    pack_dense_bf16(w, full_blocks, out);
    pack_elements(w, full_blocks * 32, 2, load_bf16, reinterpret_cast<bf16*>(out));
  }
}

QuantisedElement packed_quantised(const PackedPiece& piece, WeightFormat format, std::int64_t n,
                                  std::int64_t k) {
  const std::byte* block = block_of(piece, format, n, k);
  const std::int64_t column = n % kPanelColumns;
  k %= format.group;
  QuantisedElement element;
  element.scale = to_f32(load<f16>(block + column * 2));
  block += kScaleBytes;
  if (format.encoding == Encoding::kQ8) {
    element.q = load<std::int8_t>(block + (k / 4 * kPanelColumns + column) * 4 + k % 4);
    return element;
  }
  int zero = 8;
  if (format.encoding == Encoding::kQ4Z) {
    zero = load<std::int16_t>(block + column * 2);
    block += kPanelColumns * 2;
  }
  const auto byte = load<std::uint8_t>(block + (k / 8 * kPanelColumns + column) * 4 + k % 4);
  element.q = (k % 8 < 4 ? byte & 15 : byte >> 4) - zero;
  return element;
}

float packed_element(const PackedPiece& piece, WeightFormat format, std::int64_t n,
                     std::int64_t k) {
  if (format.is_quantised()) {
    const QuantisedElement element = packed_quantised(piece, format, n, k);
    return element.scale * static_cast<float>(element.q);
  }
  const std::byte* block = block_of(piece, format, n, k);
  const std::int64_t column = n % kPanelColumns;
  k %= k_per_block(format);
  if (format == WeightFormat::kF32) return load<float>(block + (k * kPanelColumns + column) * 4);
  return to_f32(load<bf16>(block + ((k / 2 * kPanelColumns + column) * 2 + k % 2) * 2));
}

PackedWeight PackedWeight::whole(const TensorView& w, WeightFormat format,
                                 const ParallelFor& parallel) {
  PackedWeight weight;
  weight.add_columns(w, format, 0, parallel);
  return weight;
}

PackedWeight PackedWeight::leaves(const TensorView& w, WeightFormat format,
                                  const std::int64_t* borders, int num_leaves, int first_leaf,
                                  int end_leaf, const ParallelFor& parallel) {
  PackedWeight weight;
  weight.format_ = format;
  weight.num_columns_ = w.shape[0];
  weight.first_leaf_ = first_leaf;
  weight.num_leaves_ = num_leaves;
  weight.k_ = borders[end_leaf] - borders[first_leaf];
  std::int64_t stride = 0;
  for (int leaf = first_leaf; leaf < end_leaf; ++leaf) {
    stride += panel_bytes(format, borders[leaf + 1] - borders[leaf]);
  }
  const std::int64_t num_panels = ceil_div(w.shape[0], kPanelColumns);
  Tensor memory(DType::kU8, {num_panels * stride});
  std::byte* data = memory.view().data;
  for (int leaf = first_leaf; leaf < end_leaf; ++leaf) {
    weight.pieces_.push_back({.data = data,
                              .panel_stride = stride,
                              .out_begin = 0,
                              .num_columns = w.shape[0],
                              .k_begin = borders[leaf] - borders[first_leaf],
                              .k_count = borders[leaf + 1] - borders[leaf]});
    if (data != nullptr) data += panel_bytes(format, borders[leaf + 1] - borders[leaf]);
  }
  parallel(stride == 0 ? 0 : num_panels, [&](std::int64_t panel) {
    const std::int64_t first = panel * kPanelColumns;
    const TensorView rows = w.slice(0, first, std::min(first + kPanelColumns, w.shape[0]));
    for (int leaf = first_leaf; leaf < end_leaf; ++leaf) {
      const PackedPiece& piece = weight.pieces_[static_cast<std::size_t>(leaf - first_leaf)];
      std::byte* out = memory.view().data + (piece.data - memory.view().data) + panel * stride;
      pack_panel(rows.slice(1, borders[leaf], borders[leaf + 1]), format, out);
    }
  });
  weight.memory_.push_back(std::move(memory));
  return weight;
}

void PackedWeight::add_columns(const TensorView& w, WeightFormat format, std::int64_t out_begin,
                               const ParallelFor& parallel) {
  if (!pieces_.empty() && (w.shape[1] != k_ || format != format_)) {
    throw_error(ErrorCode::kInvalidArgument, "pieces of one weight must share K and format",
                fmt::format("K {} and {}, {} and {}", k_, w.shape[1], to_string(format_),
                            to_string(format)));
  }
  format_ = format;
  k_ = w.shape[1];
  num_columns_ = std::max(num_columns_, out_begin + w.shape[0]);
  if (w.shape[0] == 0) return;
  const std::int64_t stride = panel_bytes(format, k_);
  const std::int64_t num_panels = ceil_div(w.shape[0], kPanelColumns);
  Tensor memory(DType::kU8, {num_panels * stride});
  parallel(stride == 0 ? 0 : num_panels, [&](std::int64_t panel) {
    const std::int64_t first = panel * kPanelColumns;
    pack_panel(w.slice(0, first, std::min(first + kPanelColumns, w.shape[0])), format,
               memory.view().data + panel * stride);
  });
  pieces_.push_back({.data = memory.view().data,
                     .panel_stride = stride,
                     .out_begin = out_begin,
                     .num_columns = w.shape[0],
                     .k_begin = 0,
                     .k_count = k_});
  memory_.push_back(std::move(memory));
}

PackedMatrix PackedWeight::matrix() const {
  return {.format = format_,
          .N = num_columns_,
          .K = k_,
          .pieces = pieces_.data(),
          .num_pieces = static_cast<int>(pieces_.size()),
          .first_leaf = first_leaf_,
          .num_leaves = num_leaves_};
}

std::int64_t PackedWeight::size_bytes() const {
  std::int64_t bytes = 0;
  for (const Tensor& memory : memory_) bytes += memory.size_bytes();
  return bytes;
}

}  // namespace cardloom
