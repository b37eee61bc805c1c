#include "cardloom/layers/linear.h"

#include <cstring>

#include "cardloom/base/error.h"

namespace cardloom {
namespace {

template <class From, class To, class Convert>
void convert_all(const TensorView& from, const TensorView& to, Convert convert) {
  auto* out = reinterpret_cast<To*>(to.data);
  const std::int64_t count = from.num_elements();
  for (std::int64_t index = 0; index < count; ++index) {
    From value;
    std::memcpy(&value, from.data + index * size_of(from.dtype), sizeof value);
    out[index] = convert(value);
  }
}

template <class From>
void convert_from(const TensorView& from, const TensorView& to) {
  if (to.dtype == DType::kF32) {
    convert_all<From, float>(from, to, [](From value) { return to_f32(value); });
  } else {
    convert_all<From, bf16>(from, to, [](From value) { return to_bf16(to_f32(value)); });
  }
}

}  // namespace

void convert_elements(const TensorView& from, const TensorView& to, Location caller) {
  const bool fits = from.is_contiguous() && to.is_contiguous() &&
                    from.num_elements() == to.num_elements() && is_floating(from.dtype) &&
                    (to.dtype == DType::kF32 || to.dtype == DType::kBF16);
  if (!fits) {
    throw_error(ErrorCode::kInvalidArgument,
                "elements are converted from f32, bf16 or f16 to f32 or bf16, contiguous",
                to_string(from) + " to " + to_string(to), {}, caller);
  }
  if (from.num_elements() == 0) return;
  if (from.dtype == to.dtype) {  // bits are kept, also of NaNs
    std::memcpy(to.data, from.data,
                static_cast<std::size_t>(from.num_elements() * size_of(from.dtype)));
  } else if (from.dtype == DType::kF32) {
    convert_from<float>(from, to);
  } else if (from.dtype == DType::kBF16) {
    convert_from<bf16>(from, to);
  } else {
    convert_from<f16>(from, to);
  }
}

Tensor make_f32_vector(const TensorView& from, DeviceId device, Location caller) {
  Tensor vector(DType::kF32, {from.num_elements()}, device);
  convert_elements(from, vector, caller);
  return vector;
}

}  // namespace cardloom
