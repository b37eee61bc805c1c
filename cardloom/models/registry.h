#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/device/device.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/models/model.h"
#include "cardloom/quant/weight_format.h"

namespace cardloom {

/// A checkpoint folder whose config we understand; no weights are read yet.
struct LoadedModelDirectory {
  std::string path;
  std::string architecture;  ///< "glm-4v" or "glm-4"
  glm4v::Glm4vConfig config;
  glm4v::GenerationConfig generation;
};

/// Reads config.json and generation_config.json and finds the architecture.
/// Returns as glm4v::read_config and read_generation_config do.
Result<LoadedModelDirectory> open_model(const std::string& model_directory);

struct ModelLoadOptions {
  DType dtype = DType::kBF16;                    ///< to compute in: kBF16 or kF32
  std::optional<WeightFormat> weights{};         ///< as glm4v::LoadOptions'
  std::optional<WeightFormat> vision_weights{};  ///< likewise
  /// As glm4v::LoadOptions' progress.
  std::function<void(std::int64_t done, std::int64_t total)> progress{};
};

/// Loads the weights, cut for tp = devices.size() cards, one model a rank.
///
/// Throws as WeightStore::open and glm4v::load_weights do: a missing or damaged shard, a missing or
/// wrong tensor (the first one is named), a tp or dtype that does not work, no memory.
[[nodiscard]] std::vector<std::unique_ptr<Model>> load_models(const LoadedModelDirectory& directory,
                                                              const std::vector<Device*>& devices,
                                                              const ModelLoadOptions& options = {});

}  // namespace cardloom
