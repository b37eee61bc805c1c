#include "cardloom/ops/all_gather.h"

#include <fmt/format.h>

#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void all_gather(Stream& stream, Communicator& comm, const TensorView& x, std::int64_t column,
                const TensorView& out_view, Location caller) {
  OpLaunch launch(stream, OpId::kAllGather, {in(x), out(out_view)}, caller);
  launch.require(x.rank == 2 && out_view.rank == 2, "x must be [M, n] and out [M, N]");
  launch.require(x.dtype == out_view.dtype, "x must have out's dtype");
  if (x.shape[0] != out_view.shape[0]) {
    launch.refuse(fmt::format("x has {} rows, out has {}", x.shape[0], out_view.shape[0]));
  }
  if (column < 0 || x.shape[1] > out_view.shape[1] - column) {
    launch.refuse(fmt::format("columns [{}, {}) leave out's {}", column, column + x.shape[1],
                              out_view.shape[1]));
  }
  launch.require_own_memory(out_view);
  launch.require_apart(out_view, x, "x");
  launch.enqueue(out_view.dtype, reference::all_gather, AllGatherArgs{&comm, x, column, out_view});
}

}  // namespace cardloom::ops
