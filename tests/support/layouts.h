#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cardloom/tensor/tensor_view.h"

namespace cardloom::testing {

using Shape = std::vector<std::int64_t>;

/// A view and the memory it looks at, which is as long as the view reaches and not a byte longer,
/// and full of 0xa5 where the view has no element.
struct LaidOut {
  std::vector<std::byte> memory;
  TensorView view;

  LaidOut() = default;
  LaidOut(LaidOut&&) = default;
  LaidOut& operator=(LaidOut&&) = default;
  operator const TensorView&() const { return view; }  // NOLINT: usable as its view

  /// Whether all bytes that belong to no element are still 0xa5.
  [[nodiscard]] bool gaps_untouched() const;
};

/// One way of lying in memory, for any dtype and any shape of 1 to 4 axes (or none).
struct Layout {
  const char* name;
  bool broadcast;  ///< repeats elements: for inputs only
  LaidOut (*make)(DType dtype, const Shape& shape);
};

/// contiguous, padded_rows, columns (of a wider buffer), transposed, every_second, reversed,
/// unaligned (by one element), odd_address (by one byte), broadcast_first, broadcast_last.
[[nodiscard]] const std::vector<Layout>& layouts();
/// Those without repeated elements.
[[nodiscard]] std::vector<Layout> output_layouts();

/// A zeroed contiguous tensor.
[[nodiscard]] LaidOut contiguous(DType dtype, const Shape& shape);

/// Writes values in [low, high) that depend on (seed, row-major index of the element) only, so
/// that every layout holds the same; rounded to the view's dtype. Integers are rounded down.
void fill(const TensorView& view, std::uint64_t seed, double low = -1, double high = 1);
void fill_constant(const TensorView& view, double value);
/// Row-major values, as many as the view has elements.
void assign(const TensorView& view, const std::vector<double>& values);

/// The elements in row-major order: as numbers, as bytes.
[[nodiscard]] std::vector<double> to_values(const TensorView& view);
[[nodiscard]] std::vector<std::byte> to_bytes(const TensorView& view);
/// The same elements, contiguous.
[[nodiscard]] LaidOut to_contiguous(const TensorView& view);

/// The largest |a - b| / max(1, |b|) over all elements of two views of one shape; infinity if one
/// is NaN and the other is not, or infinite and the other differs.
[[nodiscard]] double largest_difference(const TensorView& a, const TensorView& b);

}  // namespace cardloom::testing
