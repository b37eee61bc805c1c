#include "cardloom/backend/cpu/kernels/runs.h"

#include <cstring>

#include "cardloom/ops/reference/element.h"

namespace cardloom::cpu {
namespace {

/// Neighbours adjacent, at an address that its type may have.
bool is_dense(const Run& run, std::int64_t n) {
  const auto address = reinterpret_cast<std::uintptr_t>(run.data);
  return (run.stride == 1 || n <= 1) &&
         address % static_cast<std::uintptr_t>(size_of(run.dtype)) == 0;
}

std::byte* element(const Run& run, std::int64_t index) {
  return run.data + index * run.stride * size_of(run.dtype);
}

template <class T>
void gather(const Run& run, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = to_f32(reference::load_as<T>(element(run, i)));
}

template <class T>
void copy_elements(const Run& from, const Run& to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T value = reference::load_as<T>(element(from, i));
    std::memcpy(element(to, i), &value, sizeof value);
  }
}

}  // namespace

Run row_of(const TensorView& view, std::int64_t i, std::int64_t j, std::int64_t k) {
  return {view.dtype, reference::address(view, i, j, k), view.stride[view.rank - 1]};
}

void load_run(const RowKernels& kernels, const Run& run, std::int64_t n, float* scratch) {
  const bool dense = is_dense(run, n);
  switch (run.dtype) {
    case DType::kBF16:
      if (!dense) return gather<bf16>(run, n, scratch);
      return kernels.bf16_to_f32(reinterpret_cast<const std::uint16_t*>(run.data), scratch, n);
    case DType::kF16:
      if (!dense) return gather<f16>(run, n, scratch);
      return kernels.f16_to_f32(reinterpret_cast<const std::uint16_t*>(run.data), scratch, n);
    default:
      if (!dense) return gather<float>(run, n, scratch);
      std::memcpy(scratch, run.data, static_cast<std::size_t>(n) * sizeof(float));
  }
}

const float* read_run(const RowKernels& kernels, const Run& run, std::int64_t n, float* scratch) {
  if (run.dtype == DType::kF32 && is_dense(run, n)) {
    return reinterpret_cast<const float*>(run.data);
  }
  load_run(kernels, run, n, scratch);
  return scratch;
}

float* target_of(const Run& run, std::int64_t n, float* scratch) {
  const bool in_place = run.dtype == DType::kF32 && is_dense(run, n);
  return in_place ? reinterpret_cast<float*>(run.data) : scratch;
}

void write_run(const RowKernels& kernels, const float* from, const Run& run, std::int64_t n) {
  if (reinterpret_cast<const std::byte*>(from) == run.data) return;
  if (is_dense(run, n)) {
    if (run.dtype == DType::kBF16) {
      return kernels.f32_to_bf16(from, reinterpret_cast<std::uint16_t*>(run.data), n);
    }
    if (run.dtype == DType::kF16) {
      return kernels.f32_to_f16(from, reinterpret_cast<std::uint16_t*>(run.data), n);
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    reference::store_at(run.dtype, element(run, i), from[i]);
  }
}

void copy_run(const Run& from, const Run& to, std::int64_t n) {
  if (n > 1 && from.stride == 1 && to.stride == 1) {
    std::memmove(to.data, from.data, static_cast<std::size_t>(n * size_of(to.dtype)));
    return;
  }
  switch (size_of(to.dtype)) {
    case 1:
      return copy_elements<std::uint8_t>(from, to, n);
    case 2:
      return copy_elements<std::uint16_t>(from, to, n);
    case 4:
      return copy_elements<std::uint32_t>(from, to, n);
    default:
      return copy_elements<std::uint64_t>(from, to, n);
  }
}

const float* read_vector(const RowKernels& kernels, const TensorView& view, float* scratch) {
  return read_run(kernels, row_of(view, 0), view.shape[0], scratch);
}

}  // namespace cardloom::cpu
