#include <algorithm>

#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/index_checks.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom::cpu {

void kv_append(const KernelContext& context, const KvAppendArgs& args) {
  const std::int64_t T = args.k.shape[0];
  const std::int64_t G = args.k.shape[1];
  const std::int64_t D = args.k.shape[2];
  if (args.k.num_elements() == 0) return;
  check_slots(args);
  const std::int64_t block_size = args.cache.keys.shape[1];
  constexpr std::int64_t kTaskElements = 32768;
  const std::int64_t rows = std::max<std::int64_t>(1, kTaskElements / (G * D));
  cpu_device(context).pool().parallel_for(ceil_div(T, rows), [&](std::int64_t task, int) {
    for (std::int64_t t = task * rows; t < std::min(T, (task + 1) * rows); ++t) {
      const auto slot = reference::load_index<std::int64_t>(args.slot_mapping, t);
      const std::int64_t block = slot / block_size;
      const std::int64_t place = slot % block_size;
      for (std::int64_t g = 0; g < G; ++g) {
        copy_run(row_of(args.k, t, g), row_of(args.cache.keys, block, place, g), D);
        copy_run(row_of(args.v, t, g), row_of(args.cache.values, block, place, g), D);
      }
    }
  });
}

}  // namespace cardloom::cpu
