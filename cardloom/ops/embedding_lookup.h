#pragma once

#include "cardloom/comm/communicator.h"
#include "cardloom/device/stream.h"

namespace cardloom {

struct EmbeddingLookupArgs {
  static constexpr OpId kOp = OpId::kEmbeddingLookup;
  Communicator* comm = nullptr;
  TensorView ids;
  TensorView table;
  std::int64_t first_row = 0;
  TensorView out;
};

namespace ops {

/// out[t, :] = table[ids[t], :], where each rank has some rows of the table
///
/// ids        i32        [T], any stride; the same on every rank; each in some rank's range
/// table      f32|bf16   [rows of this rank, H], any strides; may be empty
/// first_row  the id of this rank's first row; ranges follow one another over the ranks
/// out        f32|bf16   [T, H], any strides without overlap
///
/// Rows are copied (and converted) from their owner, never summed. An id that no rank owns leaves a
/// kInvalidArgument with the id and its position on every rank.
void embedding_lookup(Stream& stream, Communicator& comm, const TensorView& ids,
                      const TensorView& table, std::int64_t first_row, const TensorView& out,
                      Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
