#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cardloom/base/json.h"
#include "cardloom/base/result.h"

/// Checkpoints of real shapes and no meaning: what a speed is measured on.
namespace cardloom::synth {

struct SynthOptions {
  std::string out{};               ///< folder to write; made if it is not there
  std::int64_t text_layers = 4;    ///< 1 to 1024
  std::int64_t vision_layers = 2;  ///< 0 to 1024; 0: a text model, no tower and no projector
  std::uint64_t seed = 1;
  std::int64_t shard_bytes = std::int64_t{2} << 30;  ///< a shard ends before it would be larger
  /// Told the bytes written so far and in all; may be empty.
  std::function<void(std::int64_t done, std::int64_t total)> progress{};
};

struct SynthSummary {
  std::int64_t num_tensors = 0;
  std::int64_t num_shards = 0;
  std::int64_t bytes = 0;  ///< of tensors
};

/// Writes a checkpoint of the model that `config_text`, a config.json, describes, cut to so many
/// layers: config.json, generation_config.json, tokenizer.model, tokenizer_config.json and shards
/// of safetensors with their index. The same options give the same bytes on every machine.
///
/// Weights are bf16 from N(0, 0.02^2): rows are windows on one pool of 2^22 numbers, each one some
/// way further on, so that no two rows of a tensor are alike and writing is as fast as the disk.
/// Weights of norms are 1, their biases 0. The tokenizer has the ranks and special tokens that the
/// config's ids ask for: 256 bytes, then words of the letters a to z.
///
/// Returns kInvalidArgument if the config or a number of layers is no good; as write_safetensors if
/// a file cannot be written.
Result<SynthSummary> write_checkpoint(const std::string& config_text, const SynthOptions& options);

/// The config of glm-4v-9b, as published.
[[nodiscard]] const char* default_config();

}  // namespace cardloom::synth
