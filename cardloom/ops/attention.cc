#include "cardloom/ops/attention.h"

#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void attention(Stream& stream, const TensorView& q, const TensorView& k, const TensorView& v,
               const TensorView& out, const AttentionOptions& options, Location caller) {
  OpLaunch launch(stream, AttentionArgs::kOp, {in(q), in(k), in(v), cardloom::out(out)}, caller);
  launch.require(q.rank == 3, "q must be [P, heads, D]");
  launch.require(q.dtype == DType::kF32 || q.dtype == DType::kBF16, "q must be f32 or bf16");
  launch.require(k.rank == 3 && k.shape[1] == q.shape[1] && k.shape[2] == q.shape[2],
                 "k must be [Pk, heads, D], heads and D as q");
  launch.require(k.dtype == q.dtype, "k must have q's dtype");
  launch.require(same_shape(v, k) && v.dtype == k.dtype, "v must be like k");
  launch.require(same_shape(out, q) && out.dtype == q.dtype, "out must be like q");
  launch.require_own_memory(out);
  launch.require_apart(out, q, "q");
  launch.require_apart(out, k, "k");
  launch.require_apart(out, v, "v");
  launch.enqueue(q.dtype, reference::attention, AttentionArgs{q, k, v, out, options.scale});
}

}  // namespace cardloom::ops
