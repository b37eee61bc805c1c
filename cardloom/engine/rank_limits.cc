#include <fmt/format.h>

#include <algorithm>

#include "cardloom/base/integer_math.h"
#include "cardloom/engine/model_runner.h"

namespace cardloom {
namespace {

/// Of anything that options count.
constexpr std::int64_t kMaxCount = std::int64_t{1} << 20;

void require_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return;
  throw_error(ErrorCode::kInvalidArgument,
              fmt::format("{} is {}, but must be {} to {}", name, value, low, high));
}

std::int64_t context_of(const EngineOptions& options, const ModelInfo& info) {
  if (options.context_tokens == 0) return info.max_positions;
  if (options.context_tokens < 0 || options.context_tokens > info.max_positions) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("a context of {} tokens, but the model takes 1 to {}",
                            options.context_tokens, info.max_positions),
                {}, "ask for a shorter context, or 0 for the model's own");
  }
  return options.context_tokens;
}

/// Every picture of a prompt has its own rows in the context, so there are no more than fit there.
std::int64_t picture_slots_of(const EngineOptions& options, const ModelInfo& info,
                              std::int64_t context) {
  if (info.image_rows == 0) return 0;
  const std::int64_t of_context = context / info.image_rows;
  if (options.picture_bytes > 0) {
    const std::int64_t bytes = info.image_rows * info.hidden_size * size_of(info.dtype);
    return std::max(of_context, std::min(options.picture_bytes / bytes, kMaxCount));
  }
  return options.kv_tokens == 0 ? options.max_sequences * of_context
                                : std::max(of_context, options.kv_tokens / info.image_rows);
}

}  // namespace

/// Counts small enough that sums and products of two cannot overflow.
RankLimits rank_limits(const EngineOptions& options, const ModelInfo& info, int world_size) {
  const std::int64_t context = context_of(options, info);
  require_range("max_sequences", options.max_sequences, 1, kMaxCount);
  require_range("max_step_tokens", options.max_step_tokens, 1, kMaxCount);
  require_range("block_size", options.block_size, 1, kMaxCount);
  require_range("max_logits_rows", options.max_logits_rows, 1, kMaxCount);
  require_range("max_pictures_per_step", options.max_pictures_per_step, 1, kMaxCount);
  require_range("kv_tokens", options.kv_tokens, 0, kMaxCount * kMaxCount);
  require_range("aging_steps", options.aging_steps, 1, kMaxCount * kMaxCount);
  require_range("speculate_ngram", options.speculate_ngram, 0, kMaxCount);
  RankLimits limits;
  limits.context_tokens = context;
  limits.block_size = options.block_size;
  limits.kv_cache = kv_cache_dtype(info.dtype, options.kv_cache);
  const std::int64_t context_blocks = ceil_div(context, options.block_size);
  limits.num_blocks = options.kv_tokens == 0 ? options.max_sequences * context_blocks
                                             : options.kv_tokens / options.block_size;
  if (limits.num_blocks < context_blocks) {
    throw_error(
        ErrorCode::kInvalidArgument,
        fmt::format("a KV cache of {} tokens, but a context has {}", options.kv_tokens, context),
        fmt::format("{} blocks of {}; one sequence must be able to end", limits.num_blocks,
                    options.block_size),
        "give the KV cache more tokens, or ask for a shorter context");
  }
  limits.num_picture_slots = picture_slots_of(options, info, context);
  limits.max_step_rows = options.max_step_tokens;
  limits.max_logits_rows = std::min(options.max_logits_rows, options.max_step_tokens);
  limits.max_pictures = options.max_pictures_per_step;
  if (options.vision_cut == VisionCut::kPictures) {  // its workspace is that of a picture a card
    limits.max_pictures = std::max<std::int64_t>(limits.max_pictures, world_size);
  }
  return limits;
}

}  // namespace cardloom
