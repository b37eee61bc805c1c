#pragma once

#include "cardloom/device/stream.h"

namespace cardloom {

struct TopKArgs {
  static constexpr OpId kOp = OpId::kTopK;
  TensorView x;
  std::int64_t first_id = 0;
  TensorView values;
  TensorView ids;
};

namespace ops {

/// values[m, i], ids[m, i] = the i-th of x[m, :] in falling order, and first_id + its column
///
/// x         f32  [M, n], any strides; n may be 0
/// first_id  the id of column 0: where a rank's part of a vocabulary begins; first_id + n < 2^31
/// values    f32  [M, k], any strides without overlap
/// ids       i32  [M, k], likewise; -1, and 0 in values, where a row has fewer than k candidates
///
/// Equal numbers: the lower id first, and -0 equals 0 (what is written has the bits it had in x).
/// NaN is no candidate. So the result depends on the row alone, and the first k of all ranks' first
/// k are the first k of the whole.
/// Throws kInvalidArgument on operands that do not fit.
void top_k(Stream& stream, const TensorView& x, std::int64_t first_id, const TensorView& values,
           const TensorView& ids, Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
