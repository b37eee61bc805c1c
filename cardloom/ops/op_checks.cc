#include "cardloom/ops/op_checks.h"

#include <fmt/format.h>

namespace cardloom {

bool is_same_view(const TensorView& a, const TensorView& b) {
  if (a.data != b.data || a.dtype != b.dtype || !same_shape(a, b)) return false;
  for (int axis = 0; axis < a.rank; ++axis) {
    if (a.shape[axis] > 1 && a.stride[axis] != b.stride[axis]) return false;
  }
  return true;
}

void require_itself_or_apart(const OpLaunch& launch, const TensorView& output,
                             const TensorView& input, const char* name) {
  if (is_same_view(output, input) || !may_overlap(output, input)) return;
  launch.refuse(fmt::format("out must be {} itself or apart from it", name));
}

void require_floating(const OpLaunch& launch, const TensorView& view, const char* name) {
  if (!is_floating(view.dtype)) launch.refuse(fmt::format("{} must be f32, bf16 or f16", name));
}

void require_f32_vector(const OpLaunch& launch, const TensorView& view, std::int64_t length,
                        const char* name) {
  if (view.rank == 1 && view.shape[0] == length && view.dtype == DType::kF32) return;
  launch.refuse(fmt::format("{} must be f32 [H], H = {}", name, length));
}

void require_scales(const OpLaunch& launch, const KvLayer& cache) {
  const auto check = [&](const TensorView& scales, const char* name) {
    if (!cache.is_quantised()) {
      if (scales.rank == 0) return;
      launch.refuse(fmt::format("{} must be left out unless cache.keys is i8, not {}", name,
                                to_string(scales)));
    }
    bool fits = scales.rank == 3 && scales.dtype == DType::kF32;
    for (int axis = 0; axis < 3; ++axis) fits &= scales.shape[axis] == cache.keys.shape[axis];
    if (fits) return;
    launch.refuse(fmt::format("{} must be f32 [num_blocks, block_size, G] as cache.keys, not {}",
                              name, to_string(scales)));
  };
  check(cache.key_scales, "cache.key_scales");
  check(cache.value_scales, "cache.value_scales");
}

}  // namespace cardloom
