#pragma once

#include <cstdint>
#include <cstring>

#include "cardloom/tensor/tensor_view.h"

namespace cardloom::reference {

/// The address of an element, however its view lies; unaligned is fine with load/store below.
inline std::byte* address(const TensorView& view, std::int64_t i, std::int64_t j = 0,
                          std::int64_t k = 0, std::int64_t l = 0) {
  return view.data +
         (i * view.stride[0] + j * view.stride[1] + k * view.stride[2] + l * view.stride[3]) *
             size_of(view.dtype);
}

template <class T>
T load_as(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// An element of an i32 or i64 view.
template <class T>
T load_index(const TensorView& view, std::int64_t i, std::int64_t j = 0) {
  return load_as<T>(address(view, i, j));
}

/// A floating element as f32.
inline float load(const TensorView& view, std::int64_t i, std::int64_t j = 0, std::int64_t k = 0,
                  std::int64_t l = 0) {
  const std::byte* from = address(view, i, j, k, l);
  if (view.dtype == DType::kBF16) return to_f32(load_as<bf16>(from));
  if (view.dtype == DType::kF16) return to_f32(load_as<f16>(from));
  return load_as<float>(from);
}

/// Rounds to the view's dtype.
inline void store_at(DType dtype, std::byte* to, float value) {
  if (dtype == DType::kBF16) {
    const bf16 rounded = to_bf16(value);
    std::memcpy(to, &rounded, sizeof rounded);
  } else if (dtype == DType::kF16) {
    const f16 rounded = to_f16(value);
    std::memcpy(to, &rounded, sizeof rounded);
  } else {
    std::memcpy(to, &value, sizeof value);
  }
}
inline void store(const TensorView& view, float value, std::int64_t i, std::int64_t j = 0,
                  std::int64_t k = 0, std::int64_t l = 0) {
  store_at(view.dtype, address(view, i, j, k, l), value);
}

}  // namespace cardloom::reference
