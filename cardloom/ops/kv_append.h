#pragma once

#include "cardloom/device/stream.h"

namespace cardloom {

/// One layer's keys and values in blocks. `G` = KV heads (groups) of this rank.
///
/// An i8 cache has a scale for each token and group and stands for bf16(scale * number): the
/// product in f32, rounded to nearest even. A NaN or Inf in a row makes its scale, and so all of
/// it, NaN.
struct KvLayer {
  TensorView keys;            ///< f32|bf16|i8 [num_blocks, block_size, G, D], any strides
  TensorView values;          ///< like keys
  TensorView key_scales{};    ///< f32 [num_blocks, block_size, G], any strides; rank 0 unless i8
  TensorView value_scales{};  ///< likewise

  [[nodiscard]] bool is_quantised() const { return keys.dtype == DType::kI8; }
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
/// k, v          f32|bf16     [T, G, D], any strides
/// slot_mapping  i64          [T], any stride; each in [0, num_blocks * block_size), no two equal
/// cache         as k, or i8  see KvLayer; i8 only if k is bf16
///
/// i8: k[t, g, :] becomes numbers and their scale as quantise_activations() of
/// quant/activation_group.h makes them, so what is kept of a head depends on that head alone.
///
/// A slot outside the cache is a kInvalidArgument (with both numbers) when the kernel runs.
/// Throws kInvalidArgument on operands that do not fit.
void kv_append(Stream& stream, const TensorView& k, const TensorView& v,
               const TensorView& slot_mapping, const KvLayer& cache,
               Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
