#include "cardloom/ops/layer_norm.h"

#include "cardloom/ops/op_checks.h"
#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {
namespace {

OpLaunch open(Stream& stream, const LayerNormArgs& args, Location caller) {
  const Operand x = in(args.x);
  const Operand weight = in(args.weight);
  const Operand bias = in(args.bias);
  const Operand out = cardloom::out(args.out);
  if (args.residual.rank == 0) {
    return OpLaunch(stream, LayerNormArgs::kOp, {x, weight, bias, out}, caller);
  }
  return OpLaunch(stream, LayerNormArgs::kOp, {x, weight, bias, in(args.residual), out}, caller);
}

}  // namespace

void layer_norm(Stream& stream, const TensorView& x, const TensorView& weight,
                const TensorView& bias, const TensorView& out, const LayerNormOptions& options,
                Location caller) {
  const TensorView& residual = options.residual;
  const LayerNormArgs args{x, weight, bias, residual, out, options.eps};
  OpLaunch launch = open(stream, args, caller);
  launch.require(x.rank == 2, "x must be [T, H]");
  require_floating(launch, x, "x");
  require_f32_vector(launch, weight, x.shape[1], "weight");
  require_f32_vector(launch, bias, x.shape[1], "bias");
  launch.require(same_shape(out, x) && out.dtype == x.dtype, "out must be like x");
  launch.require_own_memory(out);
  require_itself_or_apart(launch, out, x, "x");
  launch.require_apart(out, weight, "weight");
  launch.require_apart(out, bias, "bias");
  if (residual.rank != 0) {
    launch.require(same_shape(residual, x) && residual.dtype == x.dtype, "residual must be like x");
    require_itself_or_apart(launch, out, residual, "residual");
  }
  launch.enqueue(x.dtype, reference::layer_norm, args);
}

}  // namespace cardloom::ops
