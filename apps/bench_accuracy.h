#pragma once

#include <string>
#include <vector>

#include "apps/session.h"

namespace cardloom::app {

/// How far a layer's output, or the logits, lie from what f32 arithmetic gives.
struct AccuracyRow {
  std::string name;             ///< as a trace names it: text.layer.3, vision.layer.0, logits
  double relative = 0;          ///< sqrt(sum of (a - b)^2 / sum of b^2), b with f32
  double largest = 0;           ///< of |a - b|
  double root_mean_square = 0;  ///< of b
};

struct Accuracy {
  std::int64_t num_rows = 0;  ///< of the prompt
  bool same_argmax = false;   ///< of the last row's logits
  std::vector<AccuracyRow> rows;
};

/// Runs one prompt (short; with a picture if `vision`) twice, as `options` say and with f32
/// weights and arithmetic, and compares what every layer puts out. Errors add up from layer to
/// layer, as they do in use.
/// Throws Failure as load_engine does: the f32 model must fit memory, though not beside the other.
[[nodiscard]] Accuracy measure_accuracy(const Checkpoint& checkpoint, const CommonOptions& options,
                                        bool vision);

/// One row of two tensors f32 of the same shape.
[[nodiscard]] AccuracyRow compare_outputs(std::string name, const Tensor& measured,
                                          const Tensor& reference);

}  // namespace cardloom::app
