#pragma once

#include "cardloom/device/stream.h"

namespace cardloom {

/// One layer's keys and values in blocks. `G` = KV heads (groups) of this rank.
struct KvLayer {
  TensorView keys;    ///< f32|bf16 [num_blocks, block_size, G, D], any strides
  TensorView values;  ///< like keys
};

struct KvAppendArgs {
  static constexpr OpId kOp = OpId::kKvAppend;
  TensorView k;
  TensorView v;
  TensorView slot_mapping;
  KvLayer cache;
};

namespace ops {

/// cache.keys[slot / block_size, slot % block_size] = k[t], the same for values, with
/// slot = slot_mapping[t]
///
/// k, v          as cache  [T, G, D], any strides
/// slot_mapping  i64       [T], any stride; each in [0, num_blocks * block_size), no two equal
/// cache         f32|bf16  see KvLayer
///
/// A slot outside the cache is a kInvalidArgument (with both numbers) when the kernel runs.
/// Throws kInvalidArgument on operands that do not fit.
void kv_append(Stream& stream, const TensorView& k, const TensorView& v,
               const TensorView& slot_mapping, const KvLayer& cache,
               Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
