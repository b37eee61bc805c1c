#include "cardloom/ops/kv_append.h"

#include <fmt/format.h>

#include "cardloom/ops/op_checks.h"
#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {
namespace {

void require_cache(const OpLaunch& launch, const KvLayer& cache) {
  const TensorView& keys = cache.keys;
  launch.require(keys.rank == 4 && keys.shape[1] > 0,
                 "cache.keys must be [num_blocks, block_size, G, D], block_size at least 1");
  launch.require(keys.dtype == DType::kF32 || keys.dtype == DType::kBF16 || cache.is_quantised(),
                 "cache.keys must be f32, bf16 or i8");
  launch.require(same_shape(cache.values, keys) && cache.values.dtype == keys.dtype,
                 "cache.values must be like cache.keys");
  launch.require(!has_internal_overlap(keys), "cache.keys must not name one element twice");
  launch.require(!has_internal_overlap(cache.values),
                 "cache.values must not name one element twice");
  launch.require(!may_overlap(keys, cache.values), "cache.keys must not overlap cache.values");
  require_scales(launch, cache);
}

struct Part {
  TensorView view;
  const char* name;
};

/// Scales are written too: they must be apart from each other and from all else.
void require_apart_scales(const OpLaunch& launch, const KvAppendArgs& args) {
  const KvLayer& cache = args.cache;
  if (!cache.is_quantised()) return;
  const Part scales[] = {{cache.key_scales, "cache.key_scales"},
                         {cache.value_scales, "cache.value_scales"}};
  const Part others[] = {{cache.keys, "cache.keys"},
                         {cache.values, "cache.values"},
                         {args.k, "k"},
                         {args.v, "v"},
                         {args.slot_mapping, "slot_mapping"}};
  const auto apart = [&](const Part& a, const Part& b) {
    if (may_overlap(a.view, b.view)) {
      launch.refuse(fmt::format("{} must not overlap {}", a.name, b.name));
    }
  };
  for (const Part& part : scales) {
    if (has_internal_overlap(part.view)) {
      launch.refuse(fmt::format("{} must not name one element twice", part.name));
    }
    for (const Part& other : others) apart(part, other);
  }
  apart(scales[0], scales[1]);
}

}  // namespace

void kv_append(Stream& stream, const TensorView& k, const TensorView& v,
               const TensorView& slot_mapping, const KvLayer& cache, Location caller) {
  // The cache is on record as an input: a scan of the whole of it after every launch would cost
  // more than the step, and find old blocks that this launch did not write. A record has six
  // operands: cache.value_scales, which is like cache.key_scales, is left out.
  OpLaunch launch(
      stream, KvAppendArgs::kOp,
      {in(k), in(v), in(slot_mapping), in(cache.keys), in(cache.values), in(cache.key_scales)},
      caller);
  require_cache(launch, cache);
  launch.require(k.rank == 3 && k.shape[1] == cache.keys.shape[2] &&
                     k.shape[2] == cache.keys.shape[3] &&
                     (cache.is_quantised() || k.dtype == cache.keys.dtype),
                 "k must be [T, G, D], G, D and dtype as cache.keys");
  launch.require(!cache.is_quantised() || k.dtype == DType::kBF16,
                 "k must be bf16 where cache.keys is i8");
  launch.require(same_shape(v, k) && v.dtype == k.dtype, "v must be like k");
  launch.require(slot_mapping.rank == 1 && slot_mapping.shape[0] == k.shape[0],
                 "slot_mapping must be [T]");
  launch.require(slot_mapping.dtype == DType::kI64, "slot_mapping must be i64");
  for (const TensorView& part : {cache.keys, cache.values}) {
    launch.require(!may_overlap(part, k), "the cache must not overlap k");
    launch.require(!may_overlap(part, v), "the cache must not overlap v");
    launch.require(!may_overlap(part, slot_mapping), "the cache must not overlap slot_mapping");
  }
  const KvAppendArgs args{k, v, slot_mapping, cache};
  require_apart_scales(launch, args);
  launch.enqueue(k.dtype, reference::kv_append, args);
}

}  // namespace cardloom::ops
