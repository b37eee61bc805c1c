#include "cardloom/layers/linear.h"

#include <algorithm>
#include <cstring>

#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"

namespace cardloom {
namespace {

/// What one index of a ParallelFor converts.
constexpr std::int64_t kPieceElements = std::int64_t{1} << 18;

template <class From, class To, class Convert>
void convert_all(const std::byte* from, std::byte* to, std::int64_t count, Convert convert) {
  auto* out = reinterpret_cast<To*>(to);
  for (std::int64_t index = 0; index < count; ++index) {
    From value;
    std::memcpy(&value, from + index * static_cast<std::int64_t>(sizeof value), sizeof value);
    out[index] = convert(value);
  }
}

template <class From>
void convert_from(const std::byte* from, DType dtype, std::byte* to, std::int64_t count) {
  if (dtype == DType::kF32) {
    convert_all<From, float>(from, to, count, [](From value) { return to_f32(value); });
  } else {
    convert_all<From, bf16>(from, to, count, [](From value) { return to_bf16(to_f32(value)); });
  }
}

/// Elements [begin, begin + count) of both.
void convert_piece(const TensorView& from, const TensorView& to, std::int64_t begin,
                   std::int64_t count) {
  const std::byte* source = from.data + begin * size_of(from.dtype);
  std::byte* target = to.data + begin * size_of(to.dtype);
  if (from.dtype == to.dtype) {  // bits are kept, also of NaNs
    std::memcpy(target, source, static_cast<std::size_t>(count * size_of(from.dtype)));
  } else if (from.dtype == DType::kF32) {
    convert_from<float>(source, to.dtype, target, count);
  } else if (from.dtype == DType::kBF16) {
    convert_from<bf16>(source, to.dtype, target, count);
  } else {
    convert_from<f16>(source, to.dtype, target, count);
  }
}

}  // namespace

void convert_elements(const TensorView& from, const TensorView& to, const ParallelFor& parallel,
                      Location caller) {
  const bool fits = from.is_contiguous() && to.is_contiguous() &&
                    from.num_elements() == to.num_elements() && is_floating(from.dtype) &&
                    (to.dtype == DType::kF32 || to.dtype == DType::kBF16);
  if (!fits) {
    throw_error(ErrorCode::kInvalidArgument,
                "elements are converted from f32, bf16 or f16 to f32 or bf16, contiguous",
                to_string(from) + " to " + to_string(to), {}, caller);
  }
  const std::int64_t count = from.num_elements();
  parallel(ceil_div(count, kPieceElements), [&](std::int64_t piece) {
    const std::int64_t begin = piece * kPieceElements;
    convert_piece(from, to, begin, std::min(kPieceElements, count - begin));
  });
}

Tensor make_f32_vector(const TensorView& from, DeviceId device, Location caller) {
  Tensor vector(DType::kF32, {from.num_elements()}, device);
  convert_elements(from, vector, run_serially, caller);
  return vector;
}

}  // namespace cardloom
