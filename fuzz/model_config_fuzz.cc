// Input: config.json, or generation_config.json, of a checkpoint that came from strangers. What is
// accepted has numbers whose products are safe.
#include <cstdint>
#include <string_view>

#include "cardloom/models/glm4v/config.h"
#include "fuzz/require.h"

namespace {

using namespace cardloom;  // NOLINT: a fuzz target's only scope

void check_error(const Error& error) {
  require(!error.message.empty() && error.code != ErrorCode::kInternal);
}

void check(const glm4v::Glm4vConfig& config) {
  require(config.hidden_size > 0 && config.num_layers > 0 && config.num_heads > 0);
  require(config.num_kv_heads > 0 && config.num_heads % config.num_kv_heads == 0);
  require(config.rotary_dim > 0 && config.rotary_dim % 2 == 0);
  // Overflows are undefined behaviour, which the sanitizer reports.
  require(config.qkv_features() > 0 && config.intermediate_size * config.hidden_size > 0);
  require(config.vocab_size * config.hidden_size > 0);
  for (const std::int32_t id : config.eos_token_ids) require(id >= 0 && id < config.vocab_size);
  if (!config.vision) return;
  const glm4v::VisionConfig& vision = *config.vision;
  require(config.boi_token_id.has_value() && config.eoi_token_id.has_value());
  require(vision.grid() > 0 && vision.grid() % 2 == 0);
  require(vision.num_patches() + 1 == vision.num_positions && vision.rows_per_image() > 2);
  require(vision.num_heads * vision.head_dim == vision.hidden_size);
  require(vision.num_positions * vision.hidden_size * vision.num_layers > 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = glm4v::parse_config(text, "config.json")) {
    check(*config);
  } else {
    check_error(config.error());
  }
  const auto generation = glm4v::parse_generation_config(text, "generation_config.json");
  if (!generation) check_error(generation.error());
  return 0;
}
