#pragma once

#include "cardloom/device/stream.h"

namespace cardloom {

struct RmsNormArgs {
  static constexpr OpId kOp = OpId::kRmsNorm;
  TensorView x;
  TensorView weight;
  TensorView out;
  float eps = 0;
};

namespace ops {

struct RmsNormOptions {
  float eps;  ///< added to the mean square; no default: the checkpoint decides
};

/// out[t, :] = x[t, :] / sqrt(mean(x[t, :]^2) + eps) * weight[:]
///
/// x       f32|bf16|f16  [T, H], any strides
/// weight  f32           [H], any stride
/// out     as x          [T, H], any strides without overlap; may be x itself, else apart from it
///
/// In f32, rounded once. A row's bits do not depend on T or threads.
/// Throws kInvalidArgument on operands that do not fit.
/// Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. (4).
void rms_norm(Stream& stream, const TensorView& x, const TensorView& weight, const TensorView& out,
              const RmsNormOptions& options, Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
