#include <algorithm>
#include <vector>

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
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

/// The longest head that the kernels that quantise activations take as one group.
constexpr std::int64_t kMostInGroup = 128;

/// quantise_activations() of rows of D bf16.
class RowQuantiser {
 public:
  RowQuantiser(const CpuDevice& device, std::int64_t D)
      : device_(device),
        D_(D),
        gathered_(static_cast<std::size_t>(D)),
        wide_(static_cast<std::size_t>(D > kMostInGroup ? D : 0)),
        numbers_(static_cast<std::size_t>(std::max(D, kMostInGroup))) {}

  void quantise(const Run& from, const Target& to) {
    const float scale = D_ > kMostInGroup ? quantise_long(from) : quantise_group(from);
    std::memcpy(to.scale, &scale, sizeof scale);
    copy_run({DType::kI8, reinterpret_cast<std::byte*>(numbers_.data()), 1}, to.row, D_);
  }

 private:
  float quantise_group(const Run& from) {
    copy_run(from, {DType::kBF16, reinterpret_cast<std::byte*>(gathered_.data()), 1}, D_);
    float scale = 0;
    std::int32_t sum = 0;
    device_.gemm().quantise_row(gathered_.data(), D_, kMostInGroup, 1, numbers_.data(), &scale,
                                &sum);
    return scale;
  }
  float quantise_long(const Run& from) {
    load_run(device_.rows(), from, D_, wide_.data());
    return quantise_activations(wide_.data(), D_, numbers_.data()).scale;
  }

  const CpuDevice& device_;
  const std::int64_t D_;
  std::vector<std::uint16_t> gathered_;
  std::vector<float> wide_;
  std::vector<std::int8_t> numbers_;
};

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
    RowQuantiser quantiser(device, cache.is_quantised() ? D : 0);
    const auto append = [&](const Run& from, const Target& to) {
      if (cache.is_quantised()) return quantiser.quantise(from, to);
      copy_run(from, to.row, D);
    };
    for (std::int64_t t = task * rows; t < std::min(T, (task + 1) * rows); ++t) {
      const auto slot = reference::load_index<std::int64_t>(args.slot_mapping, t);
      const std::int64_t block = slot / block_size;
      const std::int64_t place = slot % block_size;
      for (std::int64_t g = 0; g < G; ++g) {
        append(row_of(args.k, t, g), target_of(cache.keys, cache.key_scales, block, place, g));
        append(row_of(args.v, t, g), target_of(cache.values, cache.value_scales, block, place, g));
      }
    }
  });
}

}  // namespace cardloom::cpu
