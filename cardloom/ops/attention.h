#pragma once

#include "cardloom/device/stream.h"

namespace cardloom {

struct AttentionArgs {
  static constexpr OpId kOp = OpId::kAttention;
  TensorView q;
  TensorView k;
  TensorView v;
  TensorView out;
  float scale = 0;
};

namespace ops {

struct AttentionOptions {
  float scale;  ///< of the scores, 1/sqrt(D); no default
};

/// out[p, h, :] = softmax over j of (scale * q[p, h, :] . k[j, h, :]) . v[j, h, :]   (no mask)
///
/// q        f32|bf16  [P, heads, D], any strides
/// k, v     as q      [Pk, heads, D], any strides
/// out      as q      [P, heads, D], any strides without overlap; apart from q, k, v
///
/// Blocks, rounding and order as paged_attention.h says, from position 0: so the same bits as
/// paged_attention over the same keys. They do not depend on P, the number of heads or threads.
/// Pk = 0 gives 0.
/// Throws kInvalidArgument on operands that do not fit.
/// Source: Vaswani et al. 2017, arXiv:1706.03762, eq. (1); Dao et al. 2022, arXiv:2205.14135,
/// alg. 1.
void attention(Stream& stream, const TensorView& q, const TensorView& k, const TensorView& v,
               const TensorView& out, const AttentionOptions& options,
               Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
