#pragma once

#include "cardloom/comm/communicator.h"
#include "cardloom/device/stream.h"

namespace cardloom {

struct AllGatherArgs {
  static constexpr OpId kOp = OpId::kAllGather;
  Communicator* comm = nullptr;
  TensorView x;
  std::int64_t column = 0;
  TensorView out;
};

namespace ops {

/// out[m, column_r + n] = x_r[m, n] for every rank r: the ranks' columns side by side, on every
/// rank
///
/// x       any dtype  [M, n of this rank], any strides; n may be 0 and differ between ranks
/// column  where this rank's columns begin in out; the ranks' ranges must not overlap
/// out     as x       [M, N], any strides without overlap; columns that no rank has are not written
///
/// Copies bits, never adds. All ranks must call it with the same M, N and dtype.
/// Throws kInvalidArgument on operands that do not fit; as matmul_all_reduce on ranks that differ.
void all_gather(Stream& stream, Communicator& comm, const TensorView& x, std::int64_t column,
                const TensorView& out, Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
