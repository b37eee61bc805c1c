#pragma once

#include "cardloom/comm/communicator.h"
#include "cardloom/device/stream.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom {

struct MatmulAllReduceArgs {
  static constexpr OpId kOp = OpId::kMatmulAllReduce;
  Communicator* comm = nullptr;
  TensorView x;
  PackedMatrix w;
  TensorView bias;      ///< rank 0: none
  TensorView residual;  ///< rank 0: none
  TensorView out;
};

namespace ops {

struct MatmulAllReduceOptions {
  TensorView bias{};      ///< f32 [N], any stride; the same on every rank; rank 0: none
  TensorView residual{};  ///< out's dtype [M, N], any strides; may be out itself; the same on every
                          ///< rank; rank 0: none
};

/// out[m, n] = round( tree over leaves ( sum over k in leaf of x[m, k] * w[n, k] )
///                    + bias[n] + residual[m, n] ), the same bits on every rank and for every tp
///
/// x    the format's activation dtype  [M, K of this rank], any strides
/// w    packed, cut along K             (N, K of this rank); a rank may own no leaf (K = 0)
/// out  f32|bf16|f16                   [M, N], any strides without overlap; may be `residual`;
///                                     shares no memory with x
///
/// A leaf is summed as matmul sums the whole K (quantisation groups begin with the leaf); leaves are
/// added in f32 by the fixed tree of quant/leaf_tree.h; then ((tree + bias) + residual), rounded
/// once. Ranks that own nothing add nothing. Bias and residual are added once.
/// Every rank of `comm` must call it, in the same order, with the same M, N and dtype; otherwise
/// all ranks get the same kInvalidArgument that names the first difference. A rank that does not
/// come is named by kDeadlineExceeded on all others. Throws kInvalidArgument on operands that do
/// not fit. Source: design after Flux (arXiv:2406.06858) for tile ownership and DeepSpeed's
/// shared-memory all-reduce for the two-parity buffers; the leaf tree after arXiv:2511.17826.
void matmul_all_reduce(Stream& stream, Communicator& comm, const TensorView& x,
                       const PackedMatrix& w, const TensorView& out,
                       const MatmulAllReduceOptions& options = {},
                       Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
