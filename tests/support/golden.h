#pragma once

#include <string>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/weights/safetensors.h"
#include "tests/support/model_under_test.h"

namespace cardloom::testing {

/// tests/golden/<name>: a random checkpoint and what an independent float64 oracle computes.
class Golden {
 public:
  explicit Golden(const std::string& name);

  [[nodiscard]] LoadedModelDirectory open() const;
  [[nodiscard]] TensorView tensor(const std::string& key) const;
  [[nodiscard]] const json::object& root() const { return root_; }
  [[nodiscard]] const json::array& cases() const { return root_.at("cases").as_array(); }
  [[nodiscard]] std::vector<std::string> pictures() const;
  [[nodiscard]] TensorView pixel_values(const std::string& picture) const {
    return tensor("pixel_values." + picture);
  }
  /// What golden.json advises: 20 times the error of a float32 run of the oracle. `part` is
  /// "vision" or "logits".
  [[nodiscard]] double tolerance(const char* part) const;

  /// Rows, positions and pictures of case `index`; `embeds` of its picture if it has one.
  [[nodiscard]] TestPrompt prompt(std::size_t index, const TensorView& embeds = {}) const;
  /// The name of the case's picture, or "".
  [[nodiscard]] std::string picture_of(std::size_t index) const;

 private:
  std::string folder_;
  json::object root_;
  SafetensorsFile file_;
};

/// max |a - b| over f32 views of one shape.
[[nodiscard]] double max_difference(const TensorView& a, const TensorView& b);

}  // namespace cardloom::testing
