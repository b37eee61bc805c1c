#pragma once

#include <fmt/format.h>

#include "cardloom/ops/op_launch.h"

namespace cardloom::ops {

/// The rules that all products share: out[M, N] of x[M, K] and w(N, K), with an optional bias [N].
inline void require_product(const OpLaunch& launch, const TensorView& x, const PackedMatrix& w,
                            const TensorView& bias, const TensorView& out_view) {
  launch.require(x.rank == 2, "x must be [M, K]");
  launch.require(out_view.rank == 2, "out must be [M, N]");
  if (x.shape[1] != w.K) {
    launch.refuse(fmt::format("x has K = {}, w has K = {}", x.shape[1], w.K));
  }
  if (out_view.shape[0] != x.shape[0] || out_view.shape[1] != w.N) {
    launch.refuse(fmt::format("out is [{}, {}], the product is [{}, {}]", out_view.shape[0],
                              out_view.shape[1], x.shape[0], w.N));
  }
  if (x.dtype != activation_dtype(w.format)) {
    launch.refuse(fmt::format("x is {}, w multiplies with {}", to_string(x.dtype),
                              to_string(activation_dtype(w.format))));
  }
  launch.require(is_floating(out_view.dtype), "out must be f32, bf16 or f16");
  launch.require(
      bias.rank == 0 || (bias.rank == 1 && bias.shape[0] == w.N && bias.dtype == DType::kF32),
      "bias must be f32 [N]");
  launch.require_own_memory(out_view);
}

/// out's dtype [M, N], may be out itself.
inline void require_residual(const OpLaunch& launch, const TensorView& residual,
                             const TensorView& out_view) {
  if (residual.rank == 0) return;
  launch.require(same_shape(residual, out_view) && residual.dtype == out_view.dtype,
                 "residual must be like out");
  const bool is_out = residual.data == out_view.data && residual.stride[0] == out_view.stride[0] &&
                      residual.stride[1] == out_view.stride[1];
  if (!is_out) launch.require_apart(out_view, residual, "residual, unless it is residual");
}

}  // namespace cardloom::ops
