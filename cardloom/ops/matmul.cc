#include "cardloom/ops/matmul.h"

#include <fmt/format.h>

#include "cardloom/ops/matmul_rules.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void matmul(Stream& stream, const TensorView& x, const PackedMatrix& w, const TensorView& out_view,
            const MatmulOptions& options, Location caller) {
  OpLaunch launch(stream, OpId::kMatmul, {in(x), weight(w), in(options.bias), out(out_view)},
                  caller);
  launch.require(w.num_leaves == 0, "w is cut along K: matmul_all_reduce adds up its leaves");
  require_product(launch, x, w, options.bias, out_view);
  launch.require_apart(out_view, x, "x");
  launch.enqueue(activation_dtype(w.format), reference::matmul,
                 MatmulArgs{x, w, options.bias, out_view});
}

}  // namespace cardloom::ops
