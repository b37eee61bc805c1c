#include "cardloom/models/glm4v/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/layers/kv_cache.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom::glm4v {
namespace {

/// What a part counts as: parameters, or bytes.
struct Measure {
  std::optional<WeightFormat> format;  ///< of products; empty: parameters
  std::int64_t element = 1;            ///< what any other number counts as

  [[nodiscard]] std::int64_t product(std::int64_t N, std::int64_t K) const {
    if (!format) return N * K;
    return N * K * packed_block_bytes(*format) / (kPanelColumns * k_per_block(*format));
  }
  [[nodiscard]] std::int64_t others(std::int64_t count) const { return count * element; }
};

void add_text(const Glm4vConfig& config, const CardShare& share, const Measure& measure,
              WeightParts& parts) {
  const std::int64_t H = config.hidden_size;
  const std::int64_t D = config.head_dim;
  const std::int64_t qkv = (share.heads.size() + 2 * share.kv_groups.size()) * D;
  const std::int64_t features = share.features.size();
  parts.embedding = measure.others(share.vocabulary.size() * H);
  parts.text_attention = config.num_layers * (measure.others(H + qkv) + measure.product(qkv, H) +
                                              measure.product(H, share.heads.size() * D));
  parts.text_mlp = config.num_layers * (measure.others(H) + measure.product(2 * features, H) +
                                        measure.product(H, features));
  parts.lm_head = measure.others(H) + measure.product(share.vocabulary.size(), H);
}

void add_vision(const Glm4vConfig& config, const CardShare& share, const Measure& measure,
                WeightParts& parts) {
  const VisionConfig& vision = *config.vision;
  const std::int64_t W = vision.hidden_size;
  const std::int64_t context = share.vision_heads.size() * vision.head_dim;
  const std::int64_t features = share.vision_features.size();
  const std::int64_t products = measure.product(3 * context, W) + measure.product(W, context) +
                                measure.product(features, W) + measure.product(W, features);
  const std::int64_t biases = 3 * context + W + features + W;
  const std::int64_t norms = 4 * W;
  const std::int64_t patch = vision.in_channels * vision.patch_size * vision.patch_size;
  parts.vision = measure.others(2 * W + vision.num_positions * W) + measure.product(W, patch) +
                 vision.num_layers * (products + measure.others(biases + norms));
  const std::int64_t H = config.hidden_size;
  const std::int64_t I = share.features.size();
  parts.projector = measure.product(H, W * 4) + measure.product(H, H) + measure.product(2 * I, H) +
                    measure.product(H, I) +
                    measure.others(H + 2 * H + 2 * H);  // conv's bias, norm, boi and eoi
}

CardMemory plan_card(const Glm4vConfig& config, const MemoryPlanOptions& options, int rank,
                     Location caller) {
  CardMemory card;
  card.rank = rank;
  card.share = share_of_rank(config, options.tp, rank, caller);
  const std::int64_t element = size_of(options.dtype);
  const WeightFormats formats =
      weight_formats(options.dtype, options.weights, options.vision_weights, caller);
  add_text(config, card.share, {}, card.parameters);
  add_text(config, card.share, {formats.text, element}, card.weights_bytes);
  if (config.vision) {
    add_vision(config, card.share, {}, card.parameters);
    add_vision(config, card.share, {formats.vision, element}, card.weights_bytes);
  }
  card.kv_bytes_per_token =
      2 * card.share.kv_groups.size() * config.num_layers *
      kv_row_bytes(kv_cache_dtype(options.dtype, options.kv_cache, caller), config.head_dim);
  card.rotary_bytes = size_of(DType::kF32) * config.max_positions * config.rotary_dim;
  return card;
}

}  // namespace

CardShare share_of_rank(const Glm4vConfig& config, int tp, int rank, Location caller) {
  CardShare share;
  share.heads = heads_of_rank(config.num_heads, tp, rank, caller);
  share.kv_groups = kv_groups_of_heads(share.heads, config.num_heads, config.num_kv_heads, caller);
  share.features =
      elements_of_rank(plan_feature_leaves(config.intermediate_size, caller), tp, rank, caller);
  share.vocabulary = vocabulary_of_rank(config.vocab_size, tp, rank, caller);
  if (config.vision) {
    share.vision_heads = heads_of_rank(config.vision->num_heads, tp, rank, caller);
    share.vision_features = elements_of_rank(
        plan_feature_leaves(config.vision->intermediate_size, caller), tp, rank, caller);
  }
  return share;
}

WeightFormats weight_formats(DType dtype, std::optional<WeightFormat> text,
                             std::optional<WeightFormat> vision, Location caller) {
  if (dtype != DType::kBF16 && dtype != DType::kF32) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("dtype is {}, it must be bf16 or f32", to_string(dtype)), {}, {},
                caller);
  }
  const WeightFormat plain = dtype == DType::kF32 ? WeightFormat::kF32 : WeightFormat::kBF16;
  const WeightFormats formats{text.value_or(plain), vision.value_or(plain)};
  for (const WeightFormat format : {formats.text, formats.vision}) {
    if (activation_dtype(format) == dtype) continue;
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("weights are {}, but the model computes in {}", to_string(format),
                            to_string(dtype)),
                fmt::format("{} weights multiply with {} activations", to_string(format),
                            to_string(activation_dtype(format))),
                dtype == DType::kF32 ? "compute in bf16, or leave the weights in f32"
                                     : "compute in f32, or choose bf16 or quantised weights",
                caller);
  }
  return formats;
}

MemoryPlan plan_memory(const Glm4vConfig& config, const MemoryPlanOptions& options,
                       Location caller) {
  check_tp(options.tp, caller).or_throw();
  MemoryPlan plan;
  plan.options = options;
  const WeightFormats formats =
      weight_formats(options.dtype, options.weights, options.vision_weights, caller);
  plan.options.weights = formats.text;
  plan.options.vision_weights = formats.vision;
  plan.options.kv_cache = kv_cache_dtype(options.dtype, options.kv_cache, caller);
  for (int rank = 0; rank < options.tp; ++rank) {
    plan.cards.push_back(plan_card(config, plan.options, rank, caller));
  }
  return plan;
}

}  // namespace cardloom::glm4v
