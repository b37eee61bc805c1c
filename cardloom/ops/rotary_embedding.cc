#include "cardloom/ops/rotary_embedding.h"

#include "cardloom/ops/op_checks.h"
#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void rotary_embedding(Stream& stream, const TensorView& positions, const TensorView& cos_sin,
                      const TensorView& x, Location caller) {
  OpLaunch launch(stream, RotaryEmbeddingArgs::kOp, {in(positions), in(cos_sin), out(x)}, caller);
  launch.require(x.rank == 3, "x must be [T, heads, D]");
  require_floating(launch, x, "x");
  launch.require(positions.rank == 1 && positions.shape[0] == x.shape[0], "positions must be [T]");
  launch.require(positions.dtype == DType::kI32, "positions must be i32");
  launch.require(cos_sin.rank == 3 && cos_sin.shape[2] == 2, "cos_sin must be [positions, R/2, 2]");
  launch.require(cos_sin.dtype == DType::kF32, "cos_sin must be f32");
  launch.require(2 * cos_sin.shape[1] <= x.shape[2],
                 "cos_sin must not rotate more elements than a head has");
  launch.require(!has_internal_overlap(x), "x must not name one element twice");
  launch.require(!may_overlap(x, cos_sin), "x must not overlap cos_sin");
  launch.require(!may_overlap(x, positions), "x must not overlap positions");
  launch.enqueue(x.dtype, reference::rotary_embedding, RotaryEmbeddingArgs{positions, cos_sin, x});
}

}  // namespace cardloom::ops
