#pragma once

#include <map>
#include <string>
#include <vector>

#include "cardloom/device/stream.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// Copies of layers' outputs by name (`text.layer.3`), as f32. A name captured again gets its rows
/// appended: a prompt's chunks follow one another.
class Trace {
 public:
  /// Queues a copy of `view` [rows, columns] on the stream. The copy is there after synchronize().
  void capture(Stream& stream, const std::string& name, const TensorView& view);

  /// Pictures are numbered in the order they are encoded: the number of the next one.
  [[nodiscard]] std::int64_t take_picture_number() { return num_pictures_++; }

  /// All captured rows of a name as one tensor [rows, columns]; call after synchronize().
  /// Throws kNotFound, listing what there is, if the name was never captured.
  [[nodiscard]] Tensor rows(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::map<std::string, std::vector<Tensor>> parts_;
  std::int64_t num_pictures_ = 0;
};

}  // namespace cardloom
