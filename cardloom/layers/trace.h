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

  /// All captured rows of a name as one tensor [rows, columns]; call after synchronize().
  [[nodiscard]] Tensor rows(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::map<std::string, std::vector<Tensor>> parts_;
};

}  // namespace cardloom
