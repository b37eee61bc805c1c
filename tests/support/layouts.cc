#include "tests/support/layouts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cardloom/base/error.h"

namespace cardloom::testing {
namespace {

constexpr std::byte kGap{0xa5};

/// How a layout is built: axis lengths in memory, outermost first, and what the view takes.
struct Plan {
  std::int64_t stride[TensorView::kMaxRank] = {};
  std::int64_t gap_elements = 0;  ///< in front of the lowest element
  std::int64_t gap_bytes = 0;
};

std::byte* address_of(const TensorView& view, std::int64_t element) {
  std::int64_t offset = 0;
  for (int axis = view.rank - 1; axis >= 0; --axis) {
    offset += element % view.shape[axis] * view.stride[axis];
    element /= view.shape[axis];
  }
  return view.data + offset * size_of(view.dtype);
}

LaidOut build(DType dtype, const Shape& shape, const Plan& plan) {
  LaidOut laid_out;
  TensorView& view = laid_out.view;
  view.dtype = dtype;
  for (const std::int64_t length : shape) {
    view.stride[view.rank] = plan.stride[view.rank];
    view.shape[view.rank++] = length;
  }
  const ByteRange range = byte_range(view);
  const std::int64_t gap = plan.gap_elements * size_of(dtype) + plan.gap_bytes;
  laid_out.memory.assign(static_cast<std::size_t>(gap + range.end - range.begin), kGap);
  view.data = laid_out.memory.data() + gap - range.begin;
  fill_constant(view, 0);
  return laid_out;
}

/// Strides of axes that lie in memory in `order` (outermost first), the innermost with `step`, the
/// outermost rows `padding` elements apart.
Plan nest(const Shape& shape, bool transposed, std::int64_t step, std::int64_t padding) {
  Plan plan;
  const int rank = static_cast<int>(shape.size());
  std::int64_t stride = step;
  for (int place = 0; place < rank; ++place) {
    const int axis = transposed ? place : rank - 1 - place;
    plan.stride[axis] = stride;
    stride *= std::max<std::int64_t>(1, shape[static_cast<std::size_t>(axis)]);
    if (place == 0) stride += padding;
  }
  return plan;
}

LaidOut make_contiguous(DType dtype, const Shape& shape) {
  return build(dtype, shape, nest(shape, false, 1, 0));
}
LaidOut make_padded_rows(DType dtype, const Shape& shape) {
  return build(dtype, shape, nest(shape, false, 1, 7));
}
LaidOut make_columns(DType dtype, const Shape& shape) {
  Plan plan = nest(shape, false, 1, 256);
  plan.gap_elements = 96;
  return build(dtype, shape, plan);
}
LaidOut make_transposed(DType dtype, const Shape& shape) {
  return build(dtype, shape, nest(shape, true, 1, 3));
}
LaidOut make_every_second(DType dtype, const Shape& shape) {
  return build(dtype, shape, nest(shape, false, 2, 1));
}
LaidOut make_reversed(DType dtype, const Shape& shape) {
  Plan plan = nest(shape, false, 1, 2);
  for (std::int64_t& stride : plan.stride) stride = -stride;
  return build(dtype, shape, plan);
}
LaidOut make_unaligned(DType dtype, const Shape& shape) {
  Plan plan = nest(shape, false, 1, 0);
  plan.gap_elements = 1;
  return build(dtype, shape, plan);
}
LaidOut make_odd_address(DType dtype, const Shape& shape) {
  Plan plan = nest(shape, false, 1, 0);
  plan.gap_bytes = 1;
  return build(dtype, shape, plan);
}
LaidOut make_broadcast_first(DType dtype, const Shape& shape) {
  Plan plan = nest(shape, false, 1, 0);
  plan.stride[0] = 0;
  return build(dtype, shape, plan);
}
LaidOut make_broadcast_last(DType dtype, const Shape& shape) {
  Plan plan = nest(shape, false, 1, 0);
  plan.stride[shape.size() - 1] = 0;
  return build(dtype, shape, plan);
}

double random_unit(std::uint64_t seed, std::uint64_t index) {  // splitmix64
  std::uint64_t value = (seed << 40) + index + 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return static_cast<double>((value ^ (value >> 31)) >> 11) * 0x1p-53;
}

template <class T>
void put(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

void write(DType dtype, std::byte* to, double value) {
  switch (dtype) {
    case DType::kF32:
      return put(to, static_cast<float>(value));
    case DType::kBF16:
      return put(to, to_bf16(static_cast<float>(value)));
    case DType::kF16:
      return put(to, to_f16(static_cast<float>(value)));
    case DType::kI8:
      return put(to, static_cast<std::int8_t>(std::floor(value)));
    case DType::kU8:
      return put(to, static_cast<std::uint8_t>(std::floor(value)));
    case DType::kI32:
      return put(to, static_cast<std::int32_t>(std::floor(value)));
    case DType::kI64:
      return put(to, static_cast<std::int64_t>(std::floor(value)));
  }
}

template <class T>
T get(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

double read(DType dtype, const std::byte* from) {
  switch (dtype) {
    case DType::kF32:
      return get<float>(from);
    case DType::kBF16:
      return to_f32(get<bf16>(from));
    case DType::kF16:
      return to_f32(get<f16>(from));
    case DType::kI8:
      return get<std::int8_t>(from);
    case DType::kU8:
      return get<std::uint8_t>(from);
    case DType::kI32:
      return get<std::int32_t>(from);
    case DType::kI64:
      return static_cast<double>(get<std::int64_t>(from));
  }
  return 0;
}

}  // namespace

bool LaidOut::gaps_untouched() const {
  std::vector<bool> element(memory.size());
  const std::int64_t count = view.num_elements();
  for (std::int64_t index = 0; index < count; ++index) {
    const auto begin = static_cast<std::size_t>(address_of(view, index) - memory.data());
    for (std::size_t byte = 0; byte < static_cast<std::size_t>(size_of(view.dtype)); ++byte) {
      element[begin + byte] = true;
    }
  }
  for (std::size_t byte = 0; byte < memory.size(); ++byte) {
    if (!element[byte] && memory[byte] != kGap) return false;
  }
  return true;
}

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {
      {"contiguous", false, make_contiguous},
      {"padded_rows", false, make_padded_rows},
      {"columns", false, make_columns},
      {"transposed", false, make_transposed},
      {"every_second", false, make_every_second},
      {"reversed", false, make_reversed},
      {"unaligned", false, make_unaligned},
      {"odd_address", false, make_odd_address},
      {"broadcast_first", true, make_broadcast_first},
      {"broadcast_last", true, make_broadcast_last},
  };
  return all;
}

std::vector<Layout> output_layouts() {
  std::vector<Layout> distinct;
  for (const Layout& layout : layouts()) {
    if (!layout.broadcast) distinct.push_back(layout);
  }
  return distinct;
}

LaidOut contiguous(DType dtype, const Shape& shape) { return make_contiguous(dtype, shape); }

void fill(const TensorView& view, std::uint64_t seed, double low, double high) {
  const std::int64_t count = view.num_elements();
  for (std::int64_t index = 0; index < count; ++index) {
    const double unit = random_unit(seed, static_cast<std::uint64_t>(index));
    write(view.dtype, address_of(view, index), low + unit * (high - low));
  }
}

void fill_constant(const TensorView& view, double value) {
  const std::int64_t count = view.num_elements();
  for (std::int64_t index = 0; index < count; ++index) {
    write(view.dtype, address_of(view, index), value);
  }
}

void assign(const TensorView& view, const std::vector<double>& values) {
  if (static_cast<std::int64_t>(values.size()) != view.num_elements()) {
    throw_error(ErrorCode::kInternal, "assign: one value an element", to_string(view));
  }
  for (std::size_t index = 0; index < values.size(); ++index) {
    write(view.dtype, address_of(view, static_cast<std::int64_t>(index)), values[index]);
  }
}

std::vector<double> to_values(const TensorView& view) {
  std::vector<double> values;
  const std::int64_t count = view.num_elements();
  for (std::int64_t index = 0; index < count; ++index) {
    values.push_back(read(view.dtype, address_of(view, index)));
  }
  return values;
}

std::vector<std::byte> to_bytes(const TensorView& view) {
  const auto size = static_cast<std::size_t>(size_of(view.dtype));
  const std::int64_t count = view.num_elements();
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * size);
  for (std::int64_t index = 0; index < count; ++index) {
    std::memcpy(bytes.data() + static_cast<std::size_t>(index) * size, address_of(view, index),
                size);
  }
  return bytes;
}

LaidOut to_contiguous(const TensorView& view) {
  LaidOut copy = contiguous(view.dtype, Shape(view.shape, view.shape + view.rank));
  copy.memory = to_bytes(view);
  copy.view.data = copy.memory.data();
  return copy;
}

double largest_difference(const TensorView& a, const TensorView& b) {
  const std::vector<double> values_a = to_values(a);
  const std::vector<double> values_b = to_values(b);
  double largest = 0;
  for (std::size_t index = 0; index < values_b.size(); ++index) {
    const double x = values_a[index];
    const double y = values_b[index];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    const double difference = std::abs(x - y) / std::max(1.0, std::abs(y));
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

}  // namespace cardloom::testing
