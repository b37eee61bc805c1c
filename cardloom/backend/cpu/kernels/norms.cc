#include <algorithm>
#include <cmath>

#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/base/integer_math.h"

namespace cardloom::cpu {
namespace {

/// A worker takes at least so many elements at once: some 10 us of work.
constexpr std::int64_t kTaskElements = 16384;

/// `floats` of scratch for a worker or, with CpuDevice::kShared, for the team.
float* scratch_floats(CpuDevice& device, int worker, std::int64_t floats) {
  return reinterpret_cast<float*>(
      device.scratch(worker, floats * static_cast<std::int64_t>(sizeof(float))));
}

/// Calls body(t, scratch of `rows` rows of H floats) for every row t, on all workers.
template <class Body>
void for_each_row(CpuDevice& device, std::int64_t T, std::int64_t H, int rows, const Body& body) {
  const std::int64_t rows_per_task = std::max<std::int64_t>(1, kTaskElements / H);
  device.pool().parallel_for(ceil_div(T, rows_per_task), [&](std::int64_t task, int worker) {
    float* scratch = scratch_floats(device, worker, rows * H);
    const std::int64_t end = std::min(T, (task + 1) * rows_per_task);
    for (std::int64_t t = task * rows_per_task; t < end; ++t) body(t, scratch);
  });
}

}  // namespace

void rms_norm(const KernelContext& context, const RmsNormArgs& args) {
  const std::int64_t T = args.x.shape[0];
  const std::int64_t H = args.x.shape[1];
  if (T == 0 || H == 0) return;
  CpuDevice& device = cpu_device(context);
  const RowKernels& kernels = device.rows();
  const float* weight =
      read_vector(kernels, args.weight, scratch_floats(device, CpuDevice::kShared, H));
  for_each_row(device, T, H, 2, [&](std::int64_t t, float* scratch) {
    const float* x = read_run(kernels, row_of(args.x, t), H, scratch);
    const float mean = kernels.sum_squares(x, 0, H) / static_cast<float>(H);
    const float inverse = 1.0F / std::sqrt(mean + args.eps);
    const Run out = row_of(args.out, t);
    float* target = target_of(out, H, scratch + H);
    kernels.normalise(x, 0, inverse, weight, nullptr, nullptr, target, H);
    write_run(kernels, target, out, H);
  });
}

void layer_norm(const KernelContext& context, const LayerNormArgs& args) {
  const std::int64_t T = args.x.shape[0];
  const std::int64_t H = args.x.shape[1];
  if (T == 0 || H == 0) return;
  CpuDevice& device = cpu_device(context);
  const RowKernels& kernels = device.rows();
  float* shared = scratch_floats(device, CpuDevice::kShared, 2 * H);
  const float* weight = read_vector(kernels, args.weight, shared);
  const float* bias = read_vector(kernels, args.bias, shared + H);
  for_each_row(device, T, H, 3, [&](std::int64_t t, float* scratch) {
    const float* x = read_run(kernels, row_of(args.x, t), H, scratch);
    const float mean = kernels.sum(x, H) / static_cast<float>(H);
    const float variance = kernels.sum_squares(x, mean, H) / static_cast<float>(H);
    const float inverse = 1.0F / std::sqrt(variance + args.eps);
    const float* residual = args.residual.rank == 0
                                ? nullptr
                                : read_run(kernels, row_of(args.residual, t), H, scratch + H);
    const Run out = row_of(args.out, t);
    float* target = target_of(out, H, scratch + 2 * H);
    kernels.normalise(x, mean, inverse, weight, bias, residual, target, H);
    write_run(kernels, target, out, H);
  });
}

}  // namespace cardloom::cpu
