#pragma once

#include "cardloom/device/stream.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom {

struct Conv2dArgs {
  static constexpr OpId kOp = OpId::kConv2d;
  TensorView image;
  PackedMatrix w;
  TensorView bias;      ///< rank 0: none
  TensorView residual;  ///< rank 0: none
  TensorView out;
  std::int64_t patch = 1;
};

namespace ops {

struct Conv2dOptions {
  std::int64_t patch;  ///< kernel size = stride, in pixels; divides Y and X
  TensorView bias{};   ///< f32 [N]; rank 0: none
  TensorView
      residual{};  ///< out's dtype [patches, N], any strides; may be out itself; rank 0: none
};

/// out[y * (X/patch) + x, n] = round( sum over c, i, j of image[c, y*patch + i, x*patch + j]
///                             * w[n, (c * patch + i) * patch + j] + bias[n] + residual[.., n] )
/// A convolution whose kernel is its stride: a product over patches, rows in reading order.
///
/// image  f32|bf16          [C, Y, X], any strides (rows [Y*X, C] of a tensor are a permuted view)
/// w      f32|bf16 packed   (N, C * patch * patch), not cut along K
/// out    f32|bf16|f16      [Y/patch * X/patch, N], any strides without overlap; apart from image
///
/// Patches are gathered while packed, converted to the format's activation dtype; then as matmul.
/// Throws kInvalidArgument on operands that do not fit.
void conv2d(Stream& stream, const TensorView& image, const PackedMatrix& w, const TensorView& out,
            const Conv2dOptions& options, Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
