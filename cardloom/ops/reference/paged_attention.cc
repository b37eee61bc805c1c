#include "cardloom/ops/paged_attention.h"

#include "cardloom/ops/index_checks.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/online_softmax.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::reference {

void paged_attention(const KernelContext&, const PagedAttentionArgs& args) {
  if (args.out.num_elements() == 0) return;
  check_block_tables(args);
  const TensorView& q = args.q;
  const std::int64_t block_size = args.cache.keys.shape[1];
  for (std::int64_t t = 0; t < q.shape[0]; ++t) {
    const auto n = load_index<std::int32_t>(args.context_lens, t);
    const auto sequence = load_index<std::int32_t>(args.token_sequences, t);
    const auto block = [&](std::int64_t j) {
      return load_index<std::int32_t>(args.block_tables, sequence, j / block_size);
    };
    for (std::int64_t h = 0; h < q.shape[1]; ++h) {
      const std::int64_t group = (args.first_head + h) / args.heads_per_group - args.first_group;
      const auto at = [&](const TensorView& part, const TensorView& scales, std::int64_t j,
                          std::int64_t d) {
        if (!args.cache.is_quantised()) return load(part, block(j), j % block_size, group, d);
        const auto number = static_cast<float>(
            load_as<std::int8_t>(address(part, block(j), j % block_size, group, d)));
        return to_f32(to_bf16(number * load(scales, block(j), j % block_size, group)));
      };
      attend_row(
          q.dtype, n, q.shape[2], args.scale, [&](std::int64_t d) { return load(q, t, h, d); },
          [&](std::int64_t j, std::int64_t d) {
            return at(args.cache.keys, args.cache.key_scales, j, d);
          },
          [&](std::int64_t j, std::int64_t d) {
            return at(args.cache.values, args.cache.value_scales, j, d);
          },
          [&](std::int64_t d, float result) { store(args.out, result, t, h, d); });
    }
  }
}

}  // namespace cardloom::reference
