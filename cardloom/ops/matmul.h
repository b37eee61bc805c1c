#pragma once

#include "cardloom/device/stream.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom {

struct MatmulArgs {
  static constexpr OpId kOp = OpId::kMatmul;
  TensorView x;
  PackedMatrix w;
  TensorView bias;  ///< rank 0: none
  TensorView out;
};

namespace ops {

struct MatmulOptions {
  TensorView bias{};  ///< f32 [N], any stride; rank 0: none
};

/// out[m, n] = round(sum over k of x[m, k] * w[n, k] + bias[n])
///
/// x    the format's activation dtype  [M, K], any strides
/// w    packed, any weight format      (N, K), not cut along K
/// out  f32|bf16|f16                   [M, N], any strides without overlap; shares no memory with x
///
/// f32, bf16: sums in f32, along k in one order that depends on (K, format, instruction path) only:
/// never on M, N or the number of threads. bf16 pairs of neighbouring k are added as the machine's
/// dot instruction does on path avx512_bf16, 16 pairs as its tile instruction does on path amx, one
/// number after another elsewhere.
/// Quantised, groups along k: x is quantised too (quant/activation_group.h); a group's products are
/// added exactly, in i32; sum = fma(f32(group), scale_x * scale_w, sum), group after group. The
/// same bits on every instruction path.
/// M, N or K may be 0. Throws kInvalidArgument on operands that do not fit.
void matmul(Stream& stream, const TensorView& x, const PackedMatrix& w, const TensorView& out,
            const MatmulOptions& options = {}, Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
