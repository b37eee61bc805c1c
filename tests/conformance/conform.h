#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/card.h"
#include "tests/support/layouts.h"

namespace cardloom::testing {

using Views = std::vector<TensorView>;

/// One operand of a conformance case and its values: uniform in [low, high), or as listed.
struct OperandSpec {
  DType dtype = DType::kF32;
  Shape shape;
  double low = -1;
  double high = 1;
  std::vector<double> values;  ///< if not empty: these, and never broadcast
  bool has_rows = false;       ///< axis 0 is the axis of rows that may be cut
};

/// One operator, one choice of dtypes and sizes.
struct OpCase {
  std::string name;
  std::vector<OperandSpec> inputs;
  OperandSpec output;  ///< its values are there before the call
  std::function<void(Stream&, const Views& inputs, const TensorView& out)> run;
  std::function<void(const Views& inputs, const TensorView& out)> reference;
  double tolerance = 0;  ///< of largest_difference to the reference; 0: the same bits
};

/// Checks, on every instruction path and with 1 and 3 threads: the kernel against the reference;
/// the same bits for every layout of inputs and output, nothing written beside the output; the
/// same bits for rows computed alone (where operands have rows).
void expect_conforms(const OpCase& op_case);

/// f32: `tolerance`; bf16 and f16: one unit in the last place more, for a result near a tie.
[[nodiscard]] double tolerance_of(DType dtype, double tolerance);

/// Calls body(card) on every instruction path, with 1 and with 3 threads.
void for_each_card(const std::function<void(Card&)>& body);

}  // namespace cardloom::testing
