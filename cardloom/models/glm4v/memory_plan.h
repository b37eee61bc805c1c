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
  std::int64_t context_tokens = 0;               ///< all sequences together; 0: max_positions
  std::int64_t block_size = 16;                  ///< tokens in a KV block
  std::int64_t step_tokens = 2048;               ///< most rows in one step of the text model
  std::int64_t step_sequences = 1;               ///< most sequences in one step: rows of logits
  std::int64_t pictures_at_once = 1;             ///< most that are between vision layers
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
  WeightParts parameters;                   ///< elements
  WeightParts weights_bytes;                ///< parameters x bytes of their format
  std::int64_t kv_bytes_per_token = 0;      ///< K and V of this card's groups, all layers
  std::int64_t kv_bytes = 0;                ///< for the context, in whole blocks
  std::int64_t vision_state_bytes = 0;      ///< hidden states of pictures being encoded
  std::int64_t vision_workspace_bytes = 0;  ///< one picture
  std::int64_t text_workspace_bytes = 0;    ///< one step
  std::int64_t workspace_bytes = 0;         ///< the larger: they do not run at once
  std::int64_t total_bytes = 0;             ///< weights + KV + vision states + workspace
};

struct MemoryPlan {
  MemoryPlanOptions options;       ///< as used: empty ones filled in
  std::vector<CardMemory> cards;   ///< one a rank
  std::int64_t total_bytes = 0;    ///< all cards
  std::int64_t largest_bytes = 0;  ///< the card that needs most
};

/// What each card needs, from the config alone.
///
/// Weights: cut by heads are q, k, v rows and o columns, vision qkv rows and dense columns; by
/// features gate, up, down, fc1, fc2 and the projector's three; by rows embedding and lm_head. All
/// else (norms, biases of row-parallel products, patch and position embedding, conv, linear_proj,
/// boi, eoi) is on every card. KV groups are on each card whose heads read them.
///
/// Their bytes are those of the packed formats with scales; what fills up panels of 32 features and
/// the last block of a K axis is left out (nothing or next to it at real sizes).
///
/// Workspace, e = bytes of the dtype, on this card h heads of D, g KV groups, f features, v rows of
/// the vocabulary; r = 4 bytes of fp32 if tp > 1 (the shared buffer of the sum over ranks), else 0:
///   text    T = step_tokens, S = step_sequences:
///           e*T*3H (hidden, normed, embedded) + max(e*T*(2h + 2g)*D, e*T*3f) + r*T*H + 4*S*v
///   vision  P = num_positions, vision sizes:
///           4*C*image^2 pixels + e*P*2H (branch, its norm) + max(e*P*4h*D, e*P*f) + r*P*H
///   projector, R = rows after the convolution, text sizes:
///           e*R*3H + e*R*3f + r*R*H
/// Vision states: e*P*H_vision for each of pictures_at_once, but for no more than the context
/// holds. The vision workspace is the larger of vision and projector; attention is tiled and needs
/// no square matrix. The factor 3f is gate, up and their product.
///
/// Throws kInvalidArgument if tp is not 1 to 8, as weight_formats and kv_cache_dtype do, or if a
/// number of tokens is negative, zero or above 2^28.
[[nodiscard]] MemoryPlan plan_memory(const Glm4vConfig& config, const MemoryPlanOptions& options,
                                     Location caller = Location::current());

}  // namespace cardloom::glm4v
