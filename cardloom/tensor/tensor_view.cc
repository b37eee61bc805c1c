#include "cardloom/tensor/tensor_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"

namespace cardloom {
namespace {

void require(bool holds, const TensorView& view, const std::string& rule, Location caller) {
  if (!holds) throw_error(ErrorCode::kInvalidArgument, rule, to_string(view), {}, caller);
}

void require_axis(const TensorView& view, int axis, const char* op, Location caller) {
  require(axis >= 0 && axis < view.rank, view,
          fmt::format("{}: axis {} of a view of rank {}", op, axis, view.rank), caller);
}

void drop_axis(TensorView& view, int axis) {
  for (int next = axis; next + 1 < view.rank; ++next) {
    view.shape[next] = view.shape[next + 1];
    view.stride[next] = view.stride[next + 1];
  }
  --view.rank;
  view.shape[view.rank] = 0;
  view.stride[view.rank] = 0;
}

std::byte* advance(const TensorView& view, std::int64_t elements) {
  return view.data == nullptr ? nullptr : view.data + elements * size_of(view.dtype);
}

}  // namespace

TensorView TensorView::slice(int axis, std::int64_t begin, std::int64_t end,
                             Location caller) const {
  require_axis(*this, axis, "slice", caller);
  require(0 <= begin && begin <= end && end <= shape[axis], *this,
          fmt::format("slice: [{}, {}) leaves axis {} of length {}", begin, end, axis, shape[axis]),
          caller);
  TensorView view = *this;
  if (begin < end) view.data = advance(*this, begin * stride[axis]);
  view.shape[axis] = end - begin;
  return view;
}

TensorView TensorView::unflatten(int axis, std::int64_t b, Location caller) const {
  require_axis(*this, axis, "unflatten", caller);
  require(rank < kMaxRank, *this, "unflatten: a view has at most 4 axes", caller);
  require(b > 0 && shape[axis] % b == 0, *this,
          fmt::format("unflatten: {} does not divide axis {} of length {}", b, axis, shape[axis]),
          caller);
  TensorView view = *this;
  for (int next = rank; next > axis + 1; --next) {
    view.shape[next] = view.shape[next - 1];
    view.stride[next] = view.stride[next - 1];
  }
  ++view.rank;
  view.shape[axis] = shape[axis] / b;
  view.stride[axis] = stride[axis] * b;
  view.shape[axis + 1] = b;
  view.stride[axis + 1] = stride[axis];
  return view;
}

TensorView TensorView::flatten(int axis, Location caller) const {
  require_axis(*this, axis, "flatten", caller);
  require_axis(*this, axis + 1, "flatten", caller);
  const std::int64_t outer = shape[axis];
  const std::int64_t inner = shape[axis + 1];
  const bool mergeable =
      outer <= 1 || inner <= 1 || num_elements() == 0 || stride[axis] == inner * stride[axis + 1];
  require(mergeable, *this,
          fmt::format("flatten: axes {} and {} do not lie one in the other", axis, axis + 1),
          caller);
  TensorView view = *this;
  view.shape[axis + 1] = outer * inner;
  if (inner <= 1) view.stride[axis + 1] = stride[axis];
  drop_axis(view, axis);
  return view;
}

TensorView TensorView::permute(std::initializer_list<int> axes, Location caller) const {
  TensorView view = *this;
  bool seen[kMaxRank] = {};
  int position = 0;
  for (const int axis : axes) {
    require(position < rank && axis >= 0 && axis < rank && !seen[axis], *this,
            "permute: axes must be a permutation of 0..rank-1", caller);
    seen[axis] = true;
    view.shape[position] = shape[axis];
    view.stride[position] = stride[axis];
    ++position;
  }
  require(position == rank, *this, "permute: axes must be a permutation of 0..rank-1", caller);
  return view;
}

TensorView TensorView::transpose(int a, int b, Location caller) const {
  require_axis(*this, a, "transpose", caller);
  require_axis(*this, b, "transpose", caller);
  TensorView view = *this;
  std::swap(view.shape[a], view.shape[b]);
  std::swap(view.stride[a], view.stride[b]);
  return view;
}

TensorView TensorView::expand(int axis, std::int64_t count, Location caller) const {
  require_axis(*this, axis, "expand", caller);
  require(shape[axis] == 1 && count >= 0, *this,
          fmt::format("expand: axis {} of length {} to {}; only length 1 repeats", axis,
                      shape[axis], count),
          caller);
  TensorView view = *this;
  view.shape[axis] = count;
  view.stride[axis] = 0;
  return view;
}

TensorView TensorView::reverse(int axis, Location caller) const {
  require_axis(*this, axis, "reverse", caller);
  TensorView view = *this;
  if (shape[axis] > 1) view.data = advance(*this, (shape[axis] - 1) * stride[axis]);
  view.stride[axis] = -stride[axis];
  return view;
}

TensorView TensorView::select(int axis, std::int64_t index, Location caller) const {
  require_axis(*this, axis, "select", caller);
  require(index >= 0 && index < shape[axis], *this,
          fmt::format("select: index {} of axis {} of length {}", index, axis, shape[axis]),
          caller);
  TensorView view = *this;
  view.data = advance(*this, index * stride[axis]);
  drop_axis(view, axis);
  return view;
}

TensorView make_view(void* data, DType dtype, std::initializer_list<std::int64_t> shape,
                     DeviceId device, Location caller) {
  TensorView view;
  view.data = static_cast<std::byte*>(data);
  view.dtype = dtype;
  view.device = device;
  if (shape.size() > TensorView::kMaxRank) {
    throw_error(ErrorCode::kInvalidArgument, "a view has at most 4 axes",
                fmt::format("{} were asked for", shape.size()), {}, caller);
  }
  for (const std::int64_t length : shape) {
    if (length < 0) {
      throw_error(ErrorCode::kInvalidArgument, fmt::format("an axis of length {}", length), {}, {},
                  caller);
    }
    view.shape[view.rank++] = length;
  }
  std::optional<std::int64_t> stride = 1;
  for (int axis = view.rank - 1; axis >= 0; --axis) {
    view.stride[axis] = *stride;
    stride = checked_mul(*stride, view.shape[axis]);
    if (!stride) {
      throw_error(ErrorCode::kResourceExhausted, "a view of more than 2^63 elements",
                  fmt::format("axis {} has {}, what follows it {}", axis, view.shape[axis],
                              view.stride[axis]),
                  {}, caller);
    }
  }
  return view;
}

bool same_shape(const TensorView& a, const TensorView& b) {
  return a.rank == b.rank && std::equal(a.shape, a.shape + a.rank, b.shape);
}

TensorView canonicalise(const TensorView& view) {
  if (view.num_elements() == 0) return view;
  TensorView merged = view;
  for (int axis = merged.rank - 1; axis >= 0; --axis) {
    if (merged.shape[axis] == 1) drop_axis(merged, axis);
  }
  for (int axis = merged.rank - 2; axis >= 0; --axis) {
    if (merged.stride[axis] == merged.shape[axis + 1] * merged.stride[axis + 1]) {
      merged.shape[axis + 1] *= merged.shape[axis];
      drop_axis(merged, axis);
    }
  }
  return merged;
}

ByteRange byte_range(const TensorView& view) {
  if (view.num_elements() == 0) return {};
  std::int64_t low = 0;
  std::int64_t high = 0;
  for (int axis = 0; axis < view.rank; ++axis) {
    const std::int64_t reach = (view.shape[axis] - 1) * view.stride[axis];
    (reach < 0 ? low : high) += reach;
  }
  return {low * size_of(view.dtype), (high + 1) * size_of(view.dtype)};
}

bool may_overlap(const TensorView& a, const TensorView& b) {
  const ByteRange range_a = byte_range(a);
  const ByteRange range_b = byte_range(b);
  if (range_a.begin == range_a.end || range_b.begin == range_b.end) return false;
  const auto address_a = reinterpret_cast<std::intptr_t>(a.data);
  const auto address_b = reinterpret_cast<std::intptr_t>(b.data);
  if (address_a + range_a.end <= address_b + range_b.begin ||
      address_b + range_b.end <= address_a + range_a.begin) {
    return false;
  }
  // Columns of one buffer: same distance between rows, and each row's bytes apart modulo it.
  const TensorView rows_a = canonicalise(a);
  const TensorView rows_b = canonicalise(b);
  if (rows_a.rank < 2 || rows_b.rank < 2) return true;
  const std::int64_t pitch_a = rows_a.stride[0] * size_of(a.dtype);
  const std::int64_t pitch_b = rows_b.stride[0] * size_of(b.dtype);
  if (pitch_a != pitch_b || pitch_a <= 0) return true;
  const ByteRange row_a = byte_range(rows_a.select(0, 0));
  const ByteRange row_b = byte_range(rows_b.select(0, 0));
  std::int64_t apart = (address_b + row_b.begin - address_a - row_a.begin) % pitch_a;
  if (apart < 0) apart += pitch_a;
  const std::int64_t width_a = row_a.end - row_a.begin;
  const std::int64_t width_b = row_b.end - row_b.begin;
  return !(width_a <= apart && apart + width_b <= pitch_a);
}

bool has_internal_overlap(const TensorView& view) {
  if (view.num_elements() <= 1) return false;
  bool done[TensorView::kMaxRank] = {};
  std::int64_t reach = 0;  // the farthest element of the axes taken so far
  while (true) {           // shortest stride first
    int next = -1;
    for (int axis = 0; axis < view.rank; ++axis) {
      if (done[axis] || view.shape[axis] == 1) continue;
      if (next < 0 || std::abs(view.stride[axis]) < std::abs(view.stride[next])) next = axis;
    }
    if (next < 0) return false;
    if (std::abs(view.stride[next]) <= reach) return true;
    reach += std::abs(view.stride[next]) * (view.shape[next] - 1);
    done[next] = true;
  }
}

std::string to_string(DeviceId device) { return fmt::format("cpu:{}", device.index); }

std::string to_string(const TensorView& view) {
  std::string text(to_string(view.dtype));
  const auto append = [&](char open, const std::int64_t* values, char close) {
    text += open;
    for (int axis = 0; axis < view.rank; ++axis) {
      text += fmt::format("{}{}", axis == 0 ? "" : ", ", values[axis]);
    }
    text += close;
  };
  append('[', view.shape, ']');
  append('{', view.stride, '}');
  return text + "@" + to_string(view.device);
}

}  // namespace cardloom
