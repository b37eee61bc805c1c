#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/tensor/tensor_view.h"
#include "cardloom/weights/safetensors.h"

namespace cardloom {

/// One tensor of a checkpoint, as far as it is known without reading its data.
struct TensorIndexEntry {
  std::string name;
  std::string shard;                               ///< file name inside the model's folder
  std::optional<std::vector<std::int64_t>> shape;  ///< empty if the shard is not at hand
  std::string dtype_name;                          ///< "BF16"; "" if the shard is not at hand
};

/// What a checkpoint holds: all names, and shapes and dtypes where headers are at hand.
struct TensorIndex {
  std::string source;                        ///< the index file, or the only safetensors file
  std::vector<TensorIndexEntry> entries;     ///< sorted by name
  std::vector<std::string> shards;           ///< all shards, sorted
  std::vector<std::string> missing_shards;   ///< those that are not in the folder
  std::vector<std::string> unindexed_names;  ///< in a shard, but not assigned to it by the index

  /// The entry of that name, or nullptr.
  [[nodiscard]] const TensorIndexEntry* find(std::string_view name) const;
};

/// The index of the checkpoint in `model_directory`: model.safetensors.index.json with as many of
/// its shards as are there (none is fine), or else model.safetensors.
///
/// Returns kNotFound if neither file exists; kInvalidArgument if the index is no such JSON or names
/// a shard that is not a plain file name (a path could lead out of the folder); kDataLoss if a
/// shard is damaged or lacks a tensor that the index promises.
Result<TensorIndex> read_tensor_index(const std::string& model_directory);

/// A Hugging Face checkpoint, all shards mapped.
///
///     Result<WeightStore> weights = WeightStore::open("glm-4v-9b");
///     Result<TensorView> w = weights->tensor("transformer.output_layer.weight");
class WeightStore {
 public:
  /// Returns as read_tensor_index does, and kNotFound, naming it, if a shard is missing.
  static Result<WeightStore> open(const std::string& model_directory,
                                  Location caller = Location::current());

  /// What is known about `name`, or nullptr.
  [[nodiscard]] const TensorIndexEntry* find(std::string_view name) const {
    return index_.find(name);
  }

  /// The data of `name`: read only, perhaps unaligned, valid as long as this store; see
  /// SafetensorsFile::tensor. Returns kNotFound or kUnimplemented as that does.
  /// May be called from several threads at once.
  [[nodiscard]] Result<TensorView> tensor(std::string_view name) const;

  /// As SafetensorsFile's. Several threads may read a tensor that one of them says was read: it
  /// costs the others time, nothing else.
  void will_read(std::string_view name) const;
  void was_read(std::string_view name) const;

  /// The whole index; `unindexed_names` are the surplus ones.
  [[nodiscard]] const TensorIndex& index() const { return index_; }

 private:
  TensorIndex index_;
  std::map<std::string, SafetensorsFile, std::less<>> shards_;
};

}  // namespace cardloom
