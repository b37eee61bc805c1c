#include "cardloom/ops/embedding_lookup.h"

#include <fmt/format.h>

#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void embedding_lookup(Stream& stream, Communicator& comm, const TensorView& ids,
                      const TensorView& table, std::int64_t first_row, const TensorView& out_view,
                      Location caller) {
  OpLaunch launch(stream, OpId::kEmbeddingLookup, {in(ids), in(table), out(out_view)}, caller);
  const auto is_f32_or_bf16 = [](DType dtype) {
    return dtype == DType::kF32 || dtype == DType::kBF16;
  };
  launch.require(ids.rank == 1 && ids.dtype == DType::kI32, "ids must be i32 [T]");
  launch.require(table.rank == 2 && is_f32_or_bf16(table.dtype),
                 "table must be f32 or bf16 [rows, H]");
  launch.require(out_view.rank == 2 && is_f32_or_bf16(out_view.dtype),
                 "out must be f32 or bf16 [T, H]");
  if (out_view.shape[0] != ids.shape[0] || out_view.shape[1] != table.shape[1]) {
    launch.refuse(fmt::format("out is [{}, {}], the rows looked up are [{}, {}]", out_view.shape[0],
                              out_view.shape[1], ids.shape[0], table.shape[1]));
  }
  launch.require(first_row >= 0, "first_row must not be negative");
  launch.require_own_memory(out_view);
  launch.require_apart(out_view, table, "table");
  launch.enqueue(out_view.dtype, reference::embedding_lookup,
                 EmbeddingLookupArgs{&comm, ids, table, first_row, out_view});
}

}  // namespace cardloom::ops
