#include "cardloom/quant/packed_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "cardloom/base/check.h"
#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"

namespace cardloom {
namespace {

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

std::int64_t steps(WeightFormat format, std::int64_t k_count) {
  return ceil_div(k_count, step_size(format));
}

std::int64_t panel_width(std::int64_t columns_left) {
  return std::min(kPanelColumns, round_up(columns_left, kPanelGranule));
}

template <class T, class Load>
void pack_panels(const TensorView& w, std::int64_t step, Load load_element, T* out) {
  const std::int64_t N = w.shape[0];
  const std::int64_t K = w.shape[1];
  const std::int64_t size = size_of(w.dtype);
  const std::int64_t num_steps = ceil_div(K, step);
  for (std::int64_t column = 0; column < N; column += kPanelColumns) {
    const std::int64_t width = panel_width(N - column);
    const std::int64_t filled = std::min(width, N - column);
    // Row by row: sequential reads of the checkpoint, strided writes into a panel that fits L2.
    for (std::int64_t n = 0; n < filled; ++n) {
      const std::byte* row = w.data + (column + n) * w.stride[0] * size;
      for (std::int64_t k = 0; k < K; ++k) {
        out[((k / step) * width + n) * step + k % step] =
            load_element(w.dtype, row + k * w.stride[1] * size);
      }
    }
    out += num_steps * width * step;
  }
}

}  // namespace

TensorView PackedMatrix::as_operand() const {
  return make_view(nullptr, activation_dtype(format), {N, K});
}

std::int64_t packed_bytes(WeightFormat format, std::int64_t num_columns, std::int64_t k_count) {
  return round_up(num_columns, kPanelGranule) * steps(format, k_count) * step_size(format) *
         size_of(activation_dtype(format));
}

void pack_piece(const TensorView& w, WeightFormat format, std::byte* out) {
  std::memset(out, 0, static_cast<std::size_t>(packed_bytes(format, w.shape[0], w.shape[1])));
  if (format == WeightFormat::kF32) {
    pack_panels(w, 1, load_f32, reinterpret_cast<float*>(out));
  } else {
    pack_panels(w, 2, load_bf16, reinterpret_cast<bf16*>(out));
  }
}

float packed_element(const PackedPiece& piece, WeightFormat format, std::int64_t n,
                     std::int64_t k) {
  const std::int64_t panel = n / kPanelColumns;
  const std::int64_t width = panel_width(piece.num_columns - panel * kPanelColumns);
  const std::int64_t step = step_size(format);
  const std::int64_t num_steps = steps(format, piece.k_count);
  const std::int64_t index = panel * kPanelColumns * num_steps * step +
                             ((k / step) * width + n % kPanelColumns) * step + k % step;
  if (format == WeightFormat::kF32) return reinterpret_cast<const float*>(piece.data)[index];
  return to_f32(reinterpret_cast<const bf16*>(piece.data)[index]);
}

PackedWeight PackedWeight::whole(const TensorView& w, WeightFormat format) {
  PackedWeight weight;
  weight.add_columns(w, format, 0);
  return weight;
}

PackedWeight PackedWeight::leaves(const TensorView& w, WeightFormat format,
                                  const std::int64_t* borders, int num_leaves, int first_leaf,
                                  int end_leaf) {
  PackedWeight weight;
  weight.format_ = format;
  weight.num_columns_ = w.shape[0];
  weight.first_leaf_ = first_leaf;
  weight.num_leaves_ = num_leaves;
  for (int leaf = first_leaf; leaf < end_leaf; ++leaf) {
    const TensorView columns = w.slice(1, borders[leaf], borders[leaf + 1]);
    weight.add_piece(columns, {.data = nullptr,
                               .out_begin = 0,
                               .num_columns = w.shape[0],
                               .k_begin = borders[leaf] - borders[first_leaf],
                               .k_count = columns.shape[1]});
    weight.k_ += columns.shape[1];
  }
  return weight;
}

void PackedWeight::add_columns(const TensorView& w, WeightFormat format, std::int64_t out_begin) {
  if (!pieces_.empty() && (w.shape[1] != k_ || format != format_)) {
    throw_error(ErrorCode::kInvalidArgument, "pieces of one weight must share K and format",
                fmt::format("K {} and {}", k_, w.shape[1]));
  }
  format_ = format;
  k_ = w.shape[1];
  num_columns_ = std::max(num_columns_, out_begin + w.shape[0]);
  if (w.shape[0] == 0) return;
  add_piece(w, {.data = nullptr,
                .out_begin = out_begin,
                .num_columns = w.shape[0],
                .k_begin = 0,
                .k_count = k_});
}

void PackedWeight::add_piece(const TensorView& w, PackedPiece piece) {
  Tensor memory(DType::kU8, {packed_bytes(format_, w.shape[0], w.shape[1])});
  if (memory.size_bytes() > 0) pack_piece(w, format_, memory.view().data);
  piece.data = memory.view().data;
  pieces_.push_back(piece);
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

int split_node(LeafRange node) {
  const auto count = static_cast<unsigned>(node.end - node.begin);
  CARDLOOM_ASSERT(count > 1);
  return node.begin + static_cast<int>(std::bit_floor(count - 1));
}

namespace {

int collect_roots(LeafRange node, LeafRange owned, LeafRange* roots, int count) {
  if (node.end <= owned.begin || owned.end <= node.begin) return count;
  if (owned.begin <= node.begin && node.end <= owned.end) {
    CARDLOOM_ASSERT(count < kMaxRoots);
    roots[count] = node;
    return count + 1;
  }
  const int middle = split_node(node);
  count = collect_roots({node.begin, middle}, owned, roots, count);
  return collect_roots({middle, node.end}, owned, roots, count);
}

int build_program(LeafRange node, const LeafRange* sources, int num_sources, int& next,
                  TreeProgram& program) {
  if (next < num_sources && sources[next].begin == node.begin && sources[next].end == node.end) {
    return next++;
  }
  if (node.end - node.begin <= 1) {
    throw_error(ErrorCode::kInvalidArgument, "the ranks' leaves do not cover the K axis",
                fmt::format("leaf {} is missing", node.begin));
  }
  const int middle = split_node(node);
  const int left = build_program({node.begin, middle}, sources, num_sources, next, program);
  const int right = build_program({middle, node.end}, sources, num_sources, next, program);
  program.adds[program.num_adds++] = {left, right};
  return left;
}

}  // namespace

TreeProgram make_tree_program(int num_leaves, const LeafRange* sources, int num_sources) {
  TreeProgram program;
  if (num_leaves == 0) return program;
  int next = 0;
  build_program({0, num_leaves}, sources, num_sources, next, program);
  if (next != num_sources) {
    throw_error(ErrorCode::kInvalidArgument, "the ranks' leaves overlap",
                fmt::format("{} of {} sources used", next, num_sources));
  }
  return program;
}

int subtree_roots(int num_leaves, LeafRange owned, LeafRange (&roots)[kMaxRoots]) {
  if (num_leaves == 0 || owned.begin >= owned.end) return 0;
  return collect_roots({0, num_leaves}, owned, roots, 0);
}

}  // namespace cardloom
