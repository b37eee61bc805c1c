#include "cardloom/ops/matmul_all_reduce.h"

#include <fmt/format.h>

#include "cardloom/ops/matmul_rules.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void matmul_all_reduce(Stream& stream, Communicator& comm, const TensorView& x,
                       const PackedMatrix& w, const TensorView& out_view,
                       const MatmulAllReduceOptions& options, Location caller) {
  OpLaunch launch(stream, OpId::kMatmulAllReduce,
                  {in(x), weight(w), in(options.bias), in(options.residual), out(out_view)},
                  caller);
  launch.require(w.num_leaves > 0, "w is not cut along K: use matmul");
  launch.require(comm.rank() > 0 || w.first_leaf == 0, "rank 0 must own the first leaf");
  if (comm.rank() == comm.world_size() - 1 && w.first_leaf + w.num_pieces != w.num_leaves) {
    launch.refuse(fmt::format("the last rank's leaves end at {} of {}", w.first_leaf + w.num_pieces,
                              w.num_leaves));
  }
  require_product(launch, x, w, options.bias, out_view);
  require_residual(launch, options.residual, out_view);
  launch.require_apart(out_view, x, "x");
  launch.enqueue(activation_dtype(w.format), reference::matmul_all_reduce,
                 MatmulAllReduceArgs{&comm, x, w, options.bias, options.residual, out_view});
}

}  // namespace cardloom::ops
