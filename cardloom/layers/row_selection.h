#pragma once

#include "cardloom/layers/step_context.h"

namespace cardloom {

/// Rows `rows` of `view`: where they lie if they are neighbours, else copied into the workspace.
///
/// view  any dtype  [T, ..], any strides
/// rows  i32 [R], ascending, each in [0, T); read at once, not when the stream gets there
[[nodiscard]] TensorView select_rows(const StepContext& step, const TensorView& view,
                                     const TensorView& rows);

}  // namespace cardloom
