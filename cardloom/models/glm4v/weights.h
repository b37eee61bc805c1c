#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cardloom/layers/linear.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/models/glm4v/memory_plan.h"
#include "cardloom/weights/weight_store.h"

namespace cardloom::glm4v {

/// f32 [H] each.
struct NormStorage {
  Tensor weight;
  Tensor bias;
};

struct TextLayerWeights {
  Tensor input_norm;      ///< f32 [H]
  LinearStorage qkv;      ///< features [q heads | k groups | v groups] of this rank
  LinearStorage o;        ///< cut by head leaves
  Tensor post_norm;       ///< f32 [H]
  LinearStorage gate_up;  ///< features [gate | up] of this rank
  LinearStorage down;     ///< cut by feature leaves
};

struct VisionLayerWeights {
  LinearStorage qkv;    ///< features [q heads | k heads | v heads] of this rank
  LinearStorage dense;  ///< cut by head leaves
  NormStorage input_norm;
  LinearStorage fc1;
  LinearStorage fc2;  ///< cut by feature leaves
  NormStorage post_norm;
};

struct VisionWeights {
  LinearStorage patch;  ///< (W, channels * patch * patch)
  Tensor cls_row;       ///< [1, W]: class token + its position row, the model's dtype
  Tensor positions;     ///< [patches, W], the model's dtype
  std::vector<VisionLayerWeights> layers;
};

struct ProjectorWeights {
  LinearStorage conv;    ///< (H, W * 2 * 2)
  LinearStorage linear;  ///< (H, H)
  NormStorage norm;
  LinearStorage gate_up;  ///< features [gate | up] of this rank
  LinearStorage down;     ///< cut by feature leaves
  Tensor boi;             ///< [1, H], divided by scaling_factor, the model's dtype
  Tensor eoi;             ///< likewise
};

/// What one rank holds of the model.
///
/// Whatever is cut is packed in one piece a leaf (and section), so that the pieces of all ranks put
/// side by side are the whole weight: see vision_view.h.
struct RankWeights {
  CardShare share;
  Tensor embedding;  ///< [vocabulary of this rank, H], the model's dtype
  Tensor cos_sin;    ///< f32 [max_positions, rotary_dim/2, 2]
  std::vector<TextLayerWeights> layers;
  Tensor final_norm;      ///< f32 [H]
  LinearStorage lm_head;  ///< (vocabulary of this rank, H)
  std::optional<VisionWeights> vision;
  std::optional<ProjectorWeights> projector;
};

struct LoadOptions {
  std::vector<DeviceId> devices;  ///< one a rank: tp = devices.size()
  /// Called on the thread that packs a rank's weights, before it touches them; may be empty.
  std::function<void(int rank)> bind_thread{};
  /// A rank's ParallelFor, called on that thread: all of the card's threads. Empty: that one alone.
  std::function<void(int rank, std::int64_t count, const std::function<void(std::int64_t)>& body)>
      parallel_for{};
  DType dtype = DType::kBF16;                    ///< to compute in: kBF16 or kF32
  std::optional<WeightFormat> weights{};         ///< of the text model; empty: as dtype
  std::optional<WeightFormat> vision_weights{};  ///< likewise; see weight_formats
  /// Told how much is packed and in all, over all ranks, in bytes of numbers of `dtype`; one call
  /// at a time, on any thread.
  std::function<void(std::int64_t done, std::int64_t total)> progress{};
};

/// Packs every rank's share of a checkpoint, all ranks at a time; reads each tensor from the mapped
/// files once a rank that needs it and lets go of its pages, so memory peaks at the packed weights
/// and a layer.
///
/// Throws as check_weights returns if the checkpoint does not hold what the config says;
/// kInvalidArgument if there are not 1 to 8 ranks or the dtype is another; kResourceExhausted if
/// memory is short.
[[nodiscard]] std::vector<RankWeights> load_weights(const Glm4vConfig& config,
                                                    const WeightStore& store,
                                                    const LoadOptions& options);

}  // namespace cardloom::glm4v
