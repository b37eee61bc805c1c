#include "cardloom/ops/kv_append.h"

#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {
namespace {

void require_cache(const OpLaunch& launch, const KvLayer& cache) {
  const TensorView& keys = cache.keys;
  launch.require(keys.rank == 4 && keys.shape[1] > 0,
                 "cache.keys must be [num_blocks, block_size, G, D], block_size at least 1");
  launch.require(keys.dtype == DType::kF32 || keys.dtype == DType::kBF16,
                 "cache.keys must be f32 or bf16");
  launch.require(same_shape(cache.values, keys) && cache.values.dtype == keys.dtype,
                 "cache.values must be like cache.keys");
  launch.require(!has_internal_overlap(keys), "cache.keys must not name one element twice");
  launch.require(!has_internal_overlap(cache.values),
                 "cache.values must not name one element twice");
  launch.require(!may_overlap(keys, cache.values), "cache.keys must not overlap cache.values");
}

}  // namespace

void kv_append(Stream& stream, const TensorView& k, const TensorView& v,
               const TensorView& slot_mapping, const KvLayer& cache, Location caller) {
  // The cache is on record as an input: a scan of the whole of it after every launch would cost
  // more than the step, and find old blocks that this launch did not write.
  OpLaunch launch(stream, KvAppendArgs::kOp,
                  {in(k), in(v), in(slot_mapping), in(cache.keys), in(cache.values)}, caller);
  require_cache(launch, cache);
  launch.require(k.rank == 3 && k.dtype == cache.keys.dtype && k.shape[1] == cache.keys.shape[2] &&
                     k.shape[2] == cache.keys.shape[3],
                 "k must be [T, G, D], G, D and dtype as cache.keys");
  launch.require(same_shape(v, k) && v.dtype == k.dtype, "v must be like k");
  launch.require(slot_mapping.rank == 1 && slot_mapping.shape[0] == k.shape[0],
                 "slot_mapping must be [T]");
  launch.require(slot_mapping.dtype == DType::kI64, "slot_mapping must be i64");
  for (const TensorView& part : {cache.keys, cache.values}) {
    launch.require(!may_overlap(part, k), "the cache must not overlap k");
    launch.require(!may_overlap(part, v), "the cache must not overlap v");
    launch.require(!may_overlap(part, slot_mapping), "the cache must not overlap slot_mapping");
  }
  launch.enqueue(cache.keys.dtype, reference::kv_append, KvAppendArgs{k, v, slot_mapping, cache});
}

}  // namespace cardloom::ops
