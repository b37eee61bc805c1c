#include "cardloom/ops/paged_attention.h"

#include <fmt/format.h>

#include "cardloom/ops/op_checks.h"
#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {
namespace {

void require_cache(const OpLaunch& launch, const TensorView& q, const KvLayer& cache) {
  const TensorView& keys = cache.keys;
  launch.require(
      keys.rank == 4 && keys.shape[1] > 0 && keys.shape[3] == q.shape[2],
      "cache.keys must be [num_blocks, block_size, G, D], block_size at least 1, D as q");
  launch.require(keys.dtype == q.dtype || cache.is_quantised(), "cache.keys must have q's dtype");
  launch.require(!cache.is_quantised() || q.dtype == DType::kBF16,
                 "q must be bf16 where cache.keys is i8");
  if (!same_shape(cache.values, keys) || cache.values.dtype != keys.dtype) {
    launch.refuse(fmt::format("cache.values must be like cache.keys, not {}",
                              to_string(cache.values)));  // not among the operands on record
  }
  require_scales(launch, cache);
}

void require_indices(const OpLaunch& launch, const PagedAttentionArgs& args) {
  const std::int64_t T = args.q.shape[0];
  launch.require(args.block_tables.rank == 2, "block_tables must be [S, max_blocks]");
  launch.require(args.token_sequences.rank == 1 && args.token_sequences.shape[0] == T,
                 "token_sequences must be [T]");
  launch.require(args.context_lens.rank == 1 && args.context_lens.shape[0] == T,
                 "context_lens must be [T]");
  launch.require(args.block_tables.dtype == DType::kI32, "block_tables must be i32");
  launch.require(args.token_sequences.dtype == DType::kI32, "token_sequences must be i32");
  launch.require(args.context_lens.dtype == DType::kI32, "context_lens must be i32");
}

void require_groups(const OpLaunch& launch, const PagedAttentionArgs& args) {
  launch.require(args.heads_per_group > 0, "heads_per_group must be at least 1");
  launch.require(args.first_head >= 0 && args.first_group >= 0,
                 "first_head and first_group must not be negative");
  const std::int64_t heads = args.q.shape[1];
  if (heads == 0) return;
  const std::int64_t first = args.first_head / args.heads_per_group;
  const std::int64_t last = (args.first_head + heads - 1) / args.heads_per_group;
  const std::int64_t G = args.cache.keys.shape[2];
  if (first < args.first_group || last >= args.first_group + G) {
    launch.refuse(
        fmt::format("heads [{}, {}) read KV groups {} to {}, but the cache has groups [{}, {})",
                    args.first_head, args.first_head + heads, first, last, args.first_group,
                    args.first_group + G));
  }
}

}  // namespace

void paged_attention(Stream& stream, const TensorView& q, const KvLayer& cache,
                     const TensorView& block_tables, const TensorView& token_sequences,
                     const TensorView& context_lens, const TensorView& out,
                     const PagedAttentionOptions& options, Location caller) {
  const PagedAttentionArgs args{
      q,   cache,         block_tables,       token_sequences,         context_lens,
      out, options.scale, options.first_head, options.heads_per_group, options.first_group};
  // A record has six operands: cache.values, which is like cache.keys, and scales are left out.
  OpLaunch launch(stream, PagedAttentionArgs::kOp,
                  {in(q), in(cache.keys), in(block_tables), in(token_sequences), in(context_lens),
                   cardloom::out(out)},
                  caller);
  launch.require(q.rank == 3, "q must be [T, heads, D]");
  launch.require(q.dtype == DType::kF32 || q.dtype == DType::kBF16, "q must be f32 or bf16");
  require_cache(launch, q, cache);
  require_indices(launch, args);
  require_groups(launch, args);
  launch.require(same_shape(out, q) && out.dtype == q.dtype, "out must be like q");
  launch.require_own_memory(out);
  require_itself_or_apart(launch, out, q, "q");
  launch.require_apart(out, cache.keys, "cache.keys");
  launch.require_apart(out, cache.values, "cache.values");
  if (cache.is_quantised()) {
    launch.require_apart(out, cache.key_scales, "cache.key_scales");
    launch.require_apart(out, cache.value_scales, "cache.value_scales");
  }
  launch.require_apart(out, block_tables, "block_tables");
  launch.require_apart(out, token_sequences, "token_sequences");
  launch.require_apart(out, context_lens, "context_lens");
  launch.enqueue(q.dtype, reference::paged_attention, args);
}

}  // namespace cardloom::ops
