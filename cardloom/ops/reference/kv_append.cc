#include "cardloom/ops/kv_append.h"

#include "cardloom/ops/index_checks.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"

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

}  // namespace

void kv_append(const KernelContext&, const KvAppendArgs& args) {
  if (args.k.num_elements() == 0) return;
  check_slots(args);
  append(args.k, args.slot_mapping, args.cache.keys);
  append(args.v, args.slot_mapping, args.cache.values);
}

}  // namespace cardloom::reference
