#pragma once

#include "cardloom/base/parallel.h"
#include "cardloom/quant/packed_matrix.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// A linear layer that ends in ops::matmul: some of its output features on this rank, or all of
/// them on every rank. A view.
struct ColumnLinear {
  PackedMatrix weight;  ///< (N of this rank, K)
  TensorView bias;      ///< f32 [N of this rank]; rank 0: none
};

/// A linear layer that ends in ops::matmul_all_reduce: its input features are cut by leaves. A
/// view.
struct RowLinear {
  PackedMatrix weight;  ///< (N, K of this rank)
  TensorView bias;      ///< f32 [N], the same on every rank; rank 0: none
};

/// What such views look at. They stay good when this moves.
struct LinearStorage {
  PackedWeight weight;
  Tensor bias;

  [[nodiscard]] ColumnLinear as_column() const { return {weight.matrix(), bias}; }
  [[nodiscard]] RowLinear as_row() const { return {weight.matrix(), bias}; }
};

/// to[..] = from[..], converted, while loading (during a step: ops::copy).
///
/// from  f32|bf16|f16  contiguous; any address, as safetensors does not align
/// to    f32|bf16      contiguous, as many elements
///
/// Rounds to nearest even. Throws kInvalidArgument on views that do not fit.
void convert_elements(const TensorView& from, const TensorView& to,
                      const ParallelFor& parallel = run_serially,
                      Location caller = Location::current());

/// The elements of `from` (f32|bf16|f16, contiguous) in order, as f32 [n].
[[nodiscard]] Tensor make_f32_vector(const TensorView& from, DeviceId device = {},
                                     Location caller = Location::current());

}  // namespace cardloom
