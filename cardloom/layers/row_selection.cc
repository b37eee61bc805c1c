#include "cardloom/layers/row_selection.h"

#include <algorithm>

#include "cardloom/ops/elementwise.h"

namespace cardloom {
namespace {

TensorView take_like(Workspace& workspace, const TensorView& view, std::int64_t R) {
  switch (view.rank) {
    case 1:
      return workspace.take(view.dtype, {R});
    case 2:
      return workspace.take(view.dtype, {R, view.shape[1]});
    case 3:
      return workspace.take(view.dtype, {R, view.shape[1], view.shape[2]});
    default:
      return workspace.take(view.dtype, {R, view.shape[1], view.shape[2], view.shape[3]});
  }
}

}  // namespace

TensorView select_rows(const StepContext& step, const TensorView& view, const TensorView& rows) {
  const std::int64_t R = rows.shape[0];
  if (R == 0) return view.slice(0, 0, 0);
  const auto row = [&](std::int64_t r) -> std::int64_t { return *rows.at<std::int32_t>(r); };
  if (row(R - 1) - row(0) == R - 1) return view.slice(0, row(0), row(0) + R);
  const TensorView selected = take_like(step.workspace, view, R);
  for (std::int64_t begin = 0, end = 0; begin < R; begin = end) {  // a run of neighbours at a time
    end = begin + 1;
    while (end < R && row(end) == row(end - 1) + 1) ++end;
    ops::copy(step.stream, view.slice(0, row(begin), row(begin) + end - begin),
              selected.slice(0, begin, end));
  }
  return selected;
}

}  // namespace cardloom
