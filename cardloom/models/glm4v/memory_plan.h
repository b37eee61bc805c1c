#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cardloom/models/glm4v/config.h"
#include "cardloom/quant/weight_format.h"
#include "cardloom/tensor/dtype.h"
#include "cardloom/weights/shard_plan.h"

namespace cardloom::glm4v {

/// What one card holds of the model, decided by weights/shard_plan.h; empty ranges are fine.
struct CardShare {
  IndexRange heads;       ///< text query heads
  IndexRange kv_groups;   ///< the groups that they read; may overlap other cards'
  IndexRange features;    ///< of intermediate_size: gate and up rows, down columns; projector too
  IndexRange vocabulary;  ///< rows of embedding and lm_head
  IndexRange vision_heads;
  IndexRange vision_features;  ///< of the vision intermediate_size: fc1 rows, fc2 columns
};

/// The share of `rank`. Throws kInvalidArgument if tp is not 1 to 8 or rank not below it.
[[nodiscard]] CardShare share_of_rank(const Glm4vConfig& config, int tp, int rank,
                                      Location caller = Location::current());

/// How the weights of products are packed. All others - norms, biases, embeddings - are not.
struct WeightFormats {
  WeightFormat text;    ///< qkv, o, gate_up, down, lm_head
  WeightFormat vision;  ///< of the tower and the projector, convolutions too
};

/// The formats to compute with in `dtype`; empty: as `dtype`, unquantised.
/// Throws kInvalidArgument if the dtype is neither bf16 nor f32 or a format multiplies with
/// activations of another dtype.
[[nodiscard]] WeightFormats weight_formats(DType dtype, std::optional<WeightFormat> text,
                                           std::optional<WeightFormat> vision,
                                           Location caller = Location::current());

struct MemoryPlanOptions {
  int tp = 1;
  DType dtype = DType::kBF16;                    ///< of activations: kBF16 or kF32
  std::optional<DType> kv_cache{};               ///< kI8: q8; empty: as dtype
  std::optional<WeightFormat> weights{};         ///< of the text model; empty: as dtype
  std::optional<WeightFormat> vision_weights{};  ///< likewise
};

/// Parameters by part, in elements.
struct WeightParts {
  std::int64_t embedding = 0;
  std::int64_t text_attention = 0;  ///< input norm, qkv, o
  std::int64_t text_mlp = 0;        ///< post-attention norm, gate_up, down
  std::int64_t lm_head = 0;         ///< final norm, output layer
  std::int64_t vision = 0;          ///< patch and position embedding, layers
  std::int64_t projector = 0;       ///< conv, linear_proj, boi, eoi

  [[nodiscard]] std::int64_t total() const {
    return embedding + text_attention + text_mlp + lm_head + vision + projector;
  }
};

struct CardMemory {
  int rank = 0;
  CardShare share;
  WeightParts parameters;               ///< elements
  WeightParts weights_bytes;            ///< parameters x bytes of their format
  std::int64_t rotary_bytes = 0;        ///< the table of cos and sin, f32
  std::int64_t kv_bytes_per_token = 0;  ///< K and V of this card's groups, all layers
};

/// What depends on the model alone; how it is run - contexts, steps, pictures - is the engine's
/// (plan_rank_bytes).
struct MemoryPlan {
  MemoryPlanOptions options;      ///< as used: empty ones filled in
  std::vector<CardMemory> cards;  ///< one a rank
};

/// What each card holds, from the config alone.
///
/// Weights: cut by heads are q, k, v rows and o columns, vision qkv rows and dense columns; by
/// features gate, up, down, fc1, fc2 and the projector's three; by rows embedding and lm_head. All
/// else (norms, biases of row-parallel products, patch and position embedding, conv, linear_proj,
/// boi, eoi) is on every card. KV groups are on each card whose heads read them.
///
/// Their bytes are those of the packed formats with scales; what fills up panels of 32 features and
/// the last block of a K axis is left out (nothing or next to it at real sizes).
///
/// Throws kInvalidArgument if tp is not 1 to 8, or as weight_formats and kv_cache_dtype do.
[[nodiscard]] MemoryPlan plan_memory(const Glm4vConfig& config, const MemoryPlanOptions& options,
                                     Location caller = Location::current());

}  // namespace cardloom::glm4v
