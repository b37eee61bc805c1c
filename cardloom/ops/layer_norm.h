#pragma once

#include "cardloom/device/stream.h"

namespace cardloom {

struct LayerNormArgs {
  static constexpr OpId kOp = OpId::kLayerNorm;
  TensorView x;
  TensorView weight;
  TensorView bias;
  TensorView residual;  ///< rank 0: none
  TensorView out;
  float eps = 0;
};

namespace ops {

struct LayerNormOptions {
  float eps;              ///< added to the variance; no default: the checkpoint decides
  TensorView residual{};  ///< as x [T, H], any strides; may be out itself; rank 0: none
};

/// out[t, :] = (x[t, :] - mean) / sqrt(variance + eps) * weight[:] + bias[:]  (+ residual[t, :])
/// with mean and (biased) variance of x[t, :]
///
/// x             f32|bf16|f16  [T, H], any strides
/// weight, bias  f32           [H], any stride
/// out           as x          [T, H], any strides without overlap; may be x or residual itself,
///                             else apart from them
///
/// In f32, rounded once. The variance is taken around the mean (two passes). A row's bits do not
/// depend on T or threads. Throws kInvalidArgument on operands that do not fit.
/// Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450, eq. (4).
void layer_norm(Stream& stream, const TensorView& x, const TensorView& weight,
                const TensorView& bias, const TensorView& out, const LayerNormOptions& options,
                Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
