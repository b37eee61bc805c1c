#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cardloom/base/file.h"
#include "cardloom/base/json.h"
#include "cardloom/weights/safetensors_writer.h"
#include "cardloom/weights/test_support.h"
#include "cardloom/weights/weight_store.h"

namespace cardloom::testing {

/// A Hugging Face checkpoint in a folder of its own, made from `config` and `tensors`.
class TestCheckpoint {
 public:
  TestCheckpoint(const json::object& config, const std::map<std::string, TensorView>& tensors) {
    testing_support::write_bytes(folder_.file("config.json"), json::serialize(config));
    const std::vector<std::pair<std::string, TensorView>> list(tensors.begin(), tensors.end());
    write_safetensors(folder_.file("model.safetensors"), list).or_throw();
  }

  [[nodiscard]] const std::string& path() const { return folder_.path(); }

 private:
  testing_support::TemporaryFolder folder_;
};

inline json::object read_json_object(const std::string& path) {
  return parse_json(read_file(path, 16 << 20).value_or_throw(), path).value_or_throw().as_object();
}

/// All tensors of a checkpoint by name, valid as long as `store`.
inline std::map<std::string, TensorView> all_tensors(const WeightStore& store) {
  std::map<std::string, TensorView> tensors;
  for (const TensorIndexEntry& entry : store.index().entries) {
    tensors[entry.name] = store.tensor(entry.name).value_or_throw();
  }
  return tensors;
}

}  // namespace cardloom::testing
