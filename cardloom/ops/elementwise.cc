#include "cardloom/ops/elementwise.h"

#include <fmt/format.h>

#include "cardloom/ops/op_checks.h"
#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {
namespace {

void require_output(const OpLaunch& launch, const TensorView& output) {
  launch.require(output.rank >= 1, "out must have 1 to 4 axes");
  launch.require_own_memory(output);
}

void require_input(const OpLaunch& launch, const TensorView& output, const TensorView& input,
                   const char* name) {
  if (!same_shape(input, output)) launch.refuse(fmt::format("{} must have out's shape", name));
  require_itself_or_apart(launch, output, input, name);
}

}  // namespace

void silu_and_mul(Stream& stream, const TensorView& gate, const TensorView& up,
                  const TensorView& out, Location caller) {
  OpLaunch launch(stream, SiluAndMulArgs::kOp, {in(gate), in(up), cardloom::out(out)}, caller);
  require_floating(launch, gate, "gate");
  launch.require(up.dtype == gate.dtype, "up must have gate's dtype");
  launch.require(out.dtype == gate.dtype, "out must have gate's dtype");
  require_output(launch, out);
  require_input(launch, out, gate, "gate");
  require_input(launch, out, up, "up");
  launch.enqueue(out.dtype, reference::silu_and_mul, SiluAndMulArgs{gate, up, out});
}

void gelu(Stream& stream, const TensorView& x, const TensorView& out, Location caller) {
  OpLaunch launch(stream, GeluArgs::kOp, {in(x), cardloom::out(out)}, caller);
  require_floating(launch, x, "x");
  launch.require(out.dtype == x.dtype, "out must have x's dtype");
  require_output(launch, out);
  require_input(launch, out, x, "x");
  launch.enqueue(out.dtype, reference::gelu, GeluArgs{x, out});
}

void copy(Stream& stream, const TensorView& x, const TensorView& out, Location caller) {
  OpLaunch launch(stream, CopyArgs::kOp, {in(x), cardloom::out(out)}, caller);
  launch.require(x.dtype == out.dtype || (is_floating(x.dtype) && is_floating(out.dtype)),
                 "x and out must have one dtype or both be floating");
  require_output(launch, out);
  require_input(launch, out, x, "x");
  launch.enqueue(out.dtype, reference::copy, CopyArgs{x, out});
}

void add(Stream& stream, const TensorView& a, const TensorView& b, const TensorView& out,
         Location caller) {
  OpLaunch launch(stream, AddArgs::kOp, {in(a), in(b), cardloom::out(out)}, caller);
  require_floating(launch, a, "a");
  require_floating(launch, b, "b");
  require_floating(launch, out, "out");
  require_output(launch, out);
  require_input(launch, out, a, "a");
  require_input(launch, out, b, "b");
  launch.enqueue(out.dtype, reference::add, AddArgs{a, b, out});
}

void scale(Stream& stream, const TensorView& x, float factor, const TensorView& out,
           Location caller) {
  OpLaunch launch(stream, ScaleArgs::kOp, {in(x), cardloom::out(out)}, caller);
  require_floating(launch, x, "x");
  require_floating(launch, out, "out");
  require_output(launch, out);
  require_input(launch, out, x, "x");
  launch.enqueue(out.dtype, reference::scale, ScaleArgs{x, out, factor});
}

}  // namespace cardloom::ops
