#include "cardloom/ops/top_k.h"

#include <fmt/format.h>

#include <limits>

#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void top_k(Stream& stream, const TensorView& x, std::int64_t first_id, const TensorView& values,
           const TensorView& ids, Location caller) {
  OpLaunch launch(stream, TopKArgs::kOp, {in(x), out(values), out(ids)}, caller);
  launch.require(x.rank == 2 && x.dtype == DType::kF32, "x must be f32 [M, n]");
  launch.require(values.rank == 2 && values.dtype == DType::kF32, "values must be f32 [M, k]");
  launch.require(ids.dtype == DType::kI32 && same_shape(ids, values),
                 "ids must be i32 [M, k], as values");
  if (x.shape[0] != values.shape[0]) {
    launch.refuse(fmt::format("x has {} rows, values has {}", x.shape[0], values.shape[0]));
  }
  if (first_id < 0 || first_id > std::numeric_limits<std::int32_t>::max() - x.shape[1]) {
    launch.refuse(fmt::format("ids from {} for {} columns do not fit i32", first_id, x.shape[1]));
  }
  launch.require_own_memory(values);
  launch.require_own_memory(ids);
  launch.require_apart(values, x, "x");
  launch.require_apart(ids, x, "x");
  launch.require_apart(ids, values, "values");
  launch.enqueue(x.dtype, reference::top_k, TopKArgs{x, first_id, values, ids});
}

}  // namespace cardloom::ops
