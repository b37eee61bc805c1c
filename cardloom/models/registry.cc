#include "cardloom/models/registry.h"

#include <fmt/format.h>

#include <utility>

#include "cardloom/models/glm4v/model.h"
#include "cardloom/models/glm4v/weights.h"
#include "cardloom/weights/weight_store.h"

namespace cardloom {
namespace {

using Models = std::vector<std::unique_ptr<Model>>;

Models load_glm4v(const LoadedModelDirectory& directory, const std::vector<Device*>& devices,
                  const ModelLoadOptions& options) {
  const WeightStore store = WeightStore::open(directory.path).value_or_throw();
  glm4v::LoadOptions load{
      .devices = {},
      .bind_thread = [&](int rank) { devices[static_cast<std::size_t>(rank)]->bind_thread(); },
      .parallel_for =
          [&](int rank, std::int64_t count, const std::function<void(std::int64_t)>& body) {
            devices[static_cast<std::size_t>(rank)]->parallel_for(count, body);
          },
      .dtype = options.dtype,
      .weights = options.weights,
      .vision_weights = options.vision_weights,
      .progress = options.progress};
  for (const Device* device : devices) load.devices.push_back(device->id());
  const auto weights = std::make_shared<const glm4v::ModelWeights>(
      glm4v::load_weights(directory.config, store, load));
  Models models;
  for (int rank = 0; rank < static_cast<int>(devices.size()); ++rank) {
    models.push_back(std::make_unique<glm4v::Glm4vModel>(directory.config, weights, rank));
  }
  return models;
}

bool has_vision(const glm4v::Glm4vConfig& config) { return config.vision.has_value(); }
bool has_no_vision(const glm4v::Glm4vConfig& config) { return !config.vision.has_value(); }

struct Architecture {
  const char* name;
  bool (*matches)(const glm4v::Glm4vConfig& config);
  Models (*load)(const LoadedModelDirectory&, const std::vector<Device*>&, const ModelLoadOptions&);
};

/// One row a model. Whatever model_type has no row is refused by read_config, by name.
constexpr Architecture kArchitectures[] = {
    {"glm-4v", has_vision, load_glm4v},
    {"glm-4", has_no_vision, load_glm4v},
};

}  // namespace

Result<LoadedModelDirectory> open_model(const std::string& model_directory) {
  Result<glm4v::Glm4vConfig> config = glm4v::read_config(model_directory);
  if (!config) return config.error();
  Result<glm4v::GenerationConfig> generation = glm4v::read_generation_config(model_directory);
  if (!generation) return generation.error();
  for (const Architecture& row : kArchitectures) {
    if (!row.matches(*config)) continue;
    return LoadedModelDirectory{model_directory, row.name, std::move(*config),
                                std::move(*generation)};
  }
  return make_error(ErrorCode::kUnimplemented,
                    fmt::format("{}: no model for this config", model_directory));
}

Models load_models(const LoadedModelDirectory& directory, const std::vector<Device*>& devices,
                   const ModelLoadOptions& options) {
  for (const Architecture& row : kArchitectures) {
    if (directory.architecture == row.name) return row.load(directory, devices, options);
  }
  throw_error(ErrorCode::kUnimplemented,
              fmt::format("there is no architecture {}", directory.architecture), {},
              "use glm-4v or glm-4");
}

}  // namespace cardloom
