#include "cardloom/ops/kv_append.h"

#include <vector>

#include "cardloom/ops/index_checks.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"
#include "cardloom/quant/activation_group.h"

namespace cardloom::reference {
namespace {

void append(const TensorView& from, const TensorView& slot_mapping, const TensorView& cache) {
  const std::int64_t block_size = cache.shape[1];
  for (std::int64_t t = 0; t < from.shape[0]; ++t) {
    const auto slot = load_index<std::int64_t>(slot_mapping, t);
    for (std::int64_t g = 0; g < from.shape[1]; ++g) {
      for (std::int64_t d = 0; d < from.shape[2]; ++d) {
        std::memcpy(address(cache, slot / block_size, slot % block_size, g, d),
                    address(from, t, g, d), static_cast<std::size_t>(size_of(from.dtype)));
      }
    }
  }
}

void append_quantised(const TensorView& from, const TensorView& slot_mapping,
                      const TensorView& cache, const TensorView& scales) {
  const std::int64_t block_size = cache.shape[1];
  const std::int64_t D = from.shape[2];
  std::vector<float> x(static_cast<std::size_t>(D));
  std::vector<std::int8_t> numbers(static_cast<std::size_t>(D));
  for (std::int64_t t = 0; t < from.shape[0]; ++t) {
    const auto slot = load_index<std::int64_t>(slot_mapping, t);
    const std::int64_t block = slot / block_size;
    const std::int64_t place = slot % block_size;
    for (std::int64_t g = 0; g < from.shape[1]; ++g) {
      for (std::int64_t d = 0; d < D; ++d) x[static_cast<std::size_t>(d)] = load(from, t, g, d);
      const ActivationGroup group = quantise_activations(x.data(), D, numbers.data());
      store(scales, group.scale, block, place, g);
      for (std::int64_t d = 0; d < D; ++d) {
        std::memcpy(address(cache, block, place, g, d), &numbers[static_cast<std::size_t>(d)], 1);
      }
    }
  }
}

}  // namespace

void kv_append(const KernelContext&, const KvAppendArgs& args) {
  if (args.k.num_elements() == 0) return;
  check_slots(args);
  const KvLayer& cache = args.cache;
  if (cache.is_quantised()) {
    append_quantised(args.k, args.slot_mapping, cache.keys, cache.key_scales);
    append_quantised(args.v, args.slot_mapping, cache.values, cache.value_scales);
    return;
  }
  append(args.k, args.slot_mapping, cache.keys);
  append(args.v, args.slot_mapping, cache.values);
}

}  // namespace cardloom::reference
