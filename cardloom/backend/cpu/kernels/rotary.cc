#include <algorithm>

#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/index_checks.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom::cpu {
namespace {

constexpr std::int64_t kTaskElements = 16384;

/// The 2 * num_pairs numbers (cos, sin), (cos, sin), ... of a position, contiguous.
const float* angles_of(const RowKernels& kernels, const TensorView& cos_sin, std::int64_t position,
                       float* scratch) {
  const std::int64_t num_pairs = cos_sin.shape[1];
  if (cos_sin.stride[2] == 1 && (cos_sin.stride[1] == 2 || num_pairs <= 1)) {
    const Run run{DType::kF32, reference::address(cos_sin, position), 1};
    return read_run(kernels, run, 2 * num_pairs, scratch);
  }
  for (std::int64_t i = 0; i < num_pairs; ++i) {
    scratch[2 * i] = reference::load(cos_sin, position, i, 0);
    scratch[2 * i + 1] = reference::load(cos_sin, position, i, 1);
  }
  return scratch;
}

}  // namespace

void rotary_embedding(const KernelContext& context, const RotaryEmbeddingArgs& args) {
  const TensorView& x = args.x;
  const std::int64_t T = x.shape[0];
  const std::int64_t R = 2 * args.cos_sin.shape[1];
  check_positions(args);
  if (x.num_elements() == 0 || R == 0) return;
  CpuDevice& device = cpu_device(context);
  const RowKernels& kernels = device.rows();
  const std::int64_t rows = std::max<std::int64_t>(1, kTaskElements / (x.shape[1] * R));
  device.pool().parallel_for(ceil_div(T, rows), [&](std::int64_t task, int worker) {
    auto* scratch = reinterpret_cast<float*>(
        device.scratch(worker, 2 * R * static_cast<std::int64_t>(sizeof(float))));
    for (std::int64_t t = task * rows; t < std::min(T, (task + 1) * rows); ++t) {
      const auto position = reference::load_index<std::int32_t>(args.positions, t);
      const float* angles = angles_of(kernels, args.cos_sin, position, scratch);
      for (std::int64_t h = 0; h < x.shape[1]; ++h) {
        const Run head = row_of(x, t, h);
        const float* from = read_run(kernels, head, R, scratch + R);
        float* target = target_of(head, R, scratch + R);
        kernels.rotate_pairs(from, angles, target, R / 2);
        write_run(kernels, target, head, R);
      }
    }
  });
}

}  // namespace cardloom::cpu
