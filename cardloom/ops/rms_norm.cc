#include "cardloom/ops/rms_norm.h"

#include "cardloom/ops/op_checks.h"
#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void rms_norm(Stream& stream, const TensorView& x, const TensorView& weight, const TensorView& out,
              const RmsNormOptions& options, Location caller) {
  OpLaunch launch(stream, RmsNormArgs::kOp, {in(x), in(weight), cardloom::out(out)}, caller);
  launch.require(x.rank == 2, "x must be [T, H]");
  require_floating(launch, x, "x");
  require_f32_vector(launch, weight, x.shape[1], "weight");
  launch.require(same_shape(out, x) && out.dtype == x.dtype, "out must be like x");
  launch.require_own_memory(out);
  require_itself_or_apart(launch, out, x, "x");
  launch.require_apart(out, weight, "weight");
  launch.enqueue(x.dtype, reference::rms_norm, RmsNormArgs{x, weight, out, options.eps});
}

}  // namespace cardloom::ops
