#include <algorithm>
#include <vector>

#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/index_checks.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/quant/activation_group.h"

namespace cardloom::cpu {
namespace {

/// Where a row of keys or values goes.
struct Target {
  Run row;
  std::byte* scale = nullptr;  ///< of a quantised cache
};

Target target_of(const TensorView& part, const TensorView& scales, std::int64_t block,
                 std::int64_t place, std::int64_t group) {
  Target target{row_of(part, block, place, group)};
  if (scales.rank > 0) target.scale = reference::address(scales, block, place, group);
  return target;
}

/// Memory of one row.
struct RowScratch {
  explicit RowScratch(std::int64_t D)
      : x(static_cast<std::size_t>(D)), numbers(static_cast<std::size_t>(D)) {}

  std::vector<float> x;
  std::vector<std::int8_t> numbers;
};

void append_row(const RowKernels& kernels, const Run& from, const Target& to, std::int64_t D,
                RowScratch& scratch) {
  if (to.scale == nullptr) return copy_run(from, to.row, D);
  load_run(kernels, from, D, scratch.x.data());
  const float scale = quantise_activations(scratch.x.data(), D, scratch.numbers.data()).scale;
  std::memcpy(to.scale, &scale, sizeof scale);
  copy_run({DType::kI8, reinterpret_cast<std::byte*>(scratch.numbers.data()), 1}, to.row, D);
}

}  // namespace

void kv_append(const KernelContext& context, const KvAppendArgs& args) {
  const std::int64_t T = args.k.shape[0];
  const std::int64_t G = args.k.shape[1];
  const std::int64_t D = args.k.shape[2];
  if (args.k.num_elements() == 0) return;
  check_slots(args);
  const std::int64_t block_size = args.cache.keys.shape[1];
  constexpr std::int64_t kTaskElements = 32768;
  const std::int64_t rows = std::max<std::int64_t>(1, kTaskElements / (G * D));
  CpuDevice& device = cpu_device(context);
  const KvLayer& cache = args.cache;
  device.pool().parallel_for(ceil_div(T, rows), [&](std::int64_t task, int) {
    RowScratch scratch(cache.is_quantised() ? D : 0);
    for (std::int64_t t = task * rows; t < std::min(T, (task + 1) * rows); ++t) {
      const auto slot = reference::load_index<std::int64_t>(args.slot_mapping, t);
      const std::int64_t block = slot / block_size;
      const std::int64_t place = slot % block_size;
      for (std::int64_t g = 0; g < G; ++g) {
        append_row(device.rows(), row_of(args.k, t, g),
                   target_of(cache.keys, cache.key_scales, block, place, g), D, scratch);
        append_row(device.rows(), row_of(args.v, t, g),
                   target_of(cache.values, cache.value_scales, block, place, g), D, scratch);
      }
    }
  });
}

}  // namespace cardloom::cpu
