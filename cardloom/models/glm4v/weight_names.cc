#include "cardloom/models/glm4v/weight_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cardloom/weights/printable.h"

namespace cardloom::glm4v {
namespace names {

std::string text_layer(std::int64_t layer, std::string_view part) {
  return fmt::format("transformer.encoder.layers.{}.{}", layer, part);
}

std::string vision_layer(std::int64_t layer, std::string_view part) {
  return fmt::format("transformer.vision.transformer.layers.{}.{}", layer, part);
}

}  // namespace names

namespace {

using Shape = std::vector<std::int64_t>;

/// Collects rows of the table.
struct Table {
  std::vector<ExpectedTensor> rows;

  void add(std::string name, Shape shape) {
    ExpectedTensor row;
    row.name = std::move(name);
    row.shape = std::move(shape);
    rows.push_back(std::move(row));
  }
};

void add_text_layer(Table& table, const Glm4vConfig& config, std::int64_t layer) {
  const std::int64_t H = config.hidden_size;
  const std::int64_t I = config.intermediate_size;
  const std::int64_t qkv = config.qkv_features();
  const auto add = [&](const char* part, Shape shape) {
    table.add(names::text_layer(layer, part), std::move(shape));
  };
  add(names::kInputNorm, {H});
  add(names::kQkvWeight, {qkv, H});
  add(names::kQkvBias, {qkv});
  add(names::kO, {H, config.num_heads * config.head_dim});
  add(names::kPostNorm, {H});
  add(names::kGateUp, {2 * I, H});
  add(names::kDown, {H, I});
}

void add_vision_layer(Table& table, const VisionConfig& vision, std::int64_t layer) {
  const std::int64_t H = vision.hidden_size;
  const std::int64_t I = vision.intermediate_size;
  const auto add = [&](const char* part, Shape shape) {
    table.add(names::vision_layer(layer, part), std::move(shape));
  };
  add(names::kVisionInputNormWeight, {H});
  add(names::kVisionInputNormBias, {H});
  add(names::kVisionQkvWeight, {3 * H, H});
  add(names::kVisionQkvBias, {3 * H});
  add(names::kVisionDenseWeight, {H, H});
  add(names::kVisionDenseBias, {H});
  add(names::kVisionFc1Weight, {I, H});
  add(names::kVisionFc1Bias, {I});
  add(names::kVisionFc2Weight, {H, I});
  add(names::kVisionFc2Bias, {H});
  add(names::kVisionPostNormWeight, {H});
  add(names::kVisionPostNormBias, {H});
}

void add_vision(Table& table, const Glm4vConfig& config) {
  const VisionConfig& vision = *config.vision;
  const std::int64_t H = config.hidden_size;
  const std::int64_t I = config.intermediate_size;  // the projector is as wide as a text layer
  const std::int64_t patch = vision.patch_size;
  table.add(names::kBoi, {1, 1, H});
  table.add(names::kEoi, {1, 1, H});
  table.add(names::kClsEmbedding, {1, vision.hidden_size});
  table.add(names::kPatchWeight, {vision.hidden_size, vision.in_channels, patch, patch});
  table.add(names::kPatchBias, {vision.hidden_size});
  table.add(names::kPositionEmbedding, {vision.num_positions, vision.hidden_size});
  for (std::int64_t layer = 0; layer < vision.num_layers; ++layer) {
    add_vision_layer(table, vision, layer);
  }
  table.add(names::kProjectorLinear, {H, H});
  table.add(names::kProjectorNormWeight, {H});
  table.add(names::kProjectorNormBias, {H});
  table.add(names::kProjectorUp, {I, H});
  table.add(names::kProjectorGate, {I, H});
  table.add(names::kProjectorDown, {H, I});
  table.add(names::kConvWeight, {H, vision.hidden_size, 2, 2});
  table.add(names::kConvBias, {H});
}

Error missing(const Glm4vConfig& config, const TensorIndex& index, const std::string& name) {
  std::string detail = fmt::format("the checkpoint holds {} tensors, the model needs {}",
                                   index.entries.size(), expected_tensors(config).size());
  if (name == names::kOutputLayer && config.tie_word_embeddings) {
    detail =
        "tie_word_embeddings is true: an output layer shared with the embedding is not supported";
  }
  return make_error(ErrorCode::kDataLoss,
                    fmt::format("{}: tensor {} is missing", index.source, printable(name)),
                    std::move(detail), "check that config.json and the weights belong together");
}

Status check_entry(const TensorIndex& index, const TensorIndexEntry& entry, const Shape& shape) {
  if (entry.shape && *entry.shape != shape) {
    return make_error(
        ErrorCode::kDataLoss,
        fmt::format("{}: tensor {} has shape {}, config.json makes it {}", index.source,
                    printable(entry.name), shape_text(*entry.shape), shape_text(shape)),
        fmt::format("in shard {}", entry.shard),
        "check that config.json and the weights belong together");
  }
  const std::string& dtype = entry.dtype_name;
  if (dtype.empty() || dtype == "BF16" || dtype == "F16" || dtype == "F32") return {};
  return make_error(ErrorCode::kUnimplemented,
                    fmt::format("{}: tensor {} has dtype {}, it must be BF16, F16 or F32",
                                index.source, printable(entry.name), printable(dtype)),
                    fmt::format("in shard {}", entry.shard),
                    "convert the checkpoint to BF16, F16 or F32");
}

}  // namespace

std::vector<ExpectedTensor> expected_tensors(const Glm4vConfig& config) {
  Table table;
  table.add(names::kWordEmbeddings, {config.vocab_size, config.hidden_size});
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    add_text_layer(table, config, layer);
  }
  table.add(names::kFinalNorm, {config.hidden_size});
  table.add(names::kOutputLayer, {config.vocab_size, config.hidden_size});
  if (config.vision) add_vision(table, config);
  return std::move(table.rows);
}

std::int64_t num_parameters(const Glm4vConfig& config) {
  std::int64_t total = 0;  // cannot overflow: the config's limits keep it below 2^60
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    std::int64_t count = 1;
    for (const std::int64_t length : tensor.shape) count *= length;
    total += count;
  }
  return total;
}

Status check_weights(const Glm4vConfig& config, const TensorIndex& index) {
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    const TensorIndexEntry* entry = index.find(tensor.name);
    if (entry == nullptr) return missing(config, index, tensor.name);
    if (Status status = check_entry(index, *entry, tensor.shape); !status) return status;
  }
  return {};
}

std::vector<std::string> surplus_tensors(const Glm4vConfig& config, const TensorIndex& index) {
  std::set<std::string, std::less<>> used = {names::kInvFreq};
  for (ExpectedTensor& tensor : expected_tensors(config)) used.insert(std::move(tensor.name));
  std::vector<std::string> surplus;
  for (const TensorIndexEntry& entry : index.entries) {
    if (used.count(entry.name) == 0) surplus.push_back(entry.name);
  }
  for (const std::string& name : index.unindexed_names) {
    if (used.count(name) == 0) surplus.push_back(name);
  }
  std::sort(surplus.begin(), surplus.end());
  surplus.erase(std::unique(surplus.begin(), surplus.end()), surplus.end());
  return surplus;
}

}  // namespace cardloom::glm4v
