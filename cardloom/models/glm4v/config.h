#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/tensor/dtype.h"

namespace cardloom::glm4v {

/// The picture half of a GLM-4V checkpoint: `vision_config` of config.json.
struct VisionConfig {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_layers = 0;  ///< num_hidden_layers
  std::int64_t num_heads = 0;
  std::int64_t head_dim = 0;  ///< hidden_size / num_heads
  std::int64_t in_channels = 0;
  std::int64_t image_size = 0;     ///< pixels a side
  std::int64_t patch_size = 0;     ///< pixels a side
  std::int64_t num_positions = 0;  ///< patches and the class token
  double layer_norm_eps = 0;
  double scaling_factor = 0;  ///< image embeddings are divided by it

  /// Patches a side; even.
  [[nodiscard]] std::int64_t grid() const { return image_size / patch_size; }
  [[nodiscard]] std::int64_t num_patches() const { return grid() * grid(); }
  /// Rows after the 2 x 2 convolution.
  [[nodiscard]] std::int64_t num_projected() const { return num_patches() / 4; }
  /// Rows that one picture takes in the sequence: boi, the projected patches, eoi.
  [[nodiscard]] std::int64_t rows_per_image() const { return num_projected() + 2; }
};

/// What config.json of a GLM-4V or GLM-4 chat checkpoint says; the original field name is given
/// where ours differs. Every number has been checked: in a range that makes sense, products safe.
struct Glm4vConfig {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;  ///< ffn_hidden_size
  std::int64_t num_layers = 0;         ///< or num_hidden_layers
  std::int64_t num_heads = 0;          ///< num_attention_heads
  std::int64_t num_kv_heads = 0;       ///< multi_query_group_num; divides num_heads
  std::int64_t head_dim = 0;       ///< kv_channels; num_heads * head_dim need not be hidden_size
  std::int64_t rotary_dim = 0;     ///< head_dim / 2; even
  std::int64_t vocab_size = 0;     ///< padded_vocab_size
  std::int64_t max_positions = 0;  ///< seq_length
  double rms_norm_eps = 0;         ///< layernorm_epsilon
  double rope_theta = 0;           ///< 10000 * rope_ratio (1 if absent)
  std::vector<std::int32_t> eos_token_ids;
  std::optional<std::int32_t> pad_token_id;
  std::optional<std::int32_t> boi_token_id;  ///< there if `vision` is
  std::optional<std::int32_t> eoi_token_id;  ///< there if `vision` is
  /// If true, the checkpoint must hold an output layer all the same, and that one is used, as the
  /// original code does; check_weights says so if it is absent.
  bool tie_word_embeddings = false;
  DType torch_dtype = DType::kBF16;    ///< what the weights were saved as; each tensor has its own
  std::optional<VisionConfig> vision;  ///< absent: a text model

  /// Columns of query_key_value: all heads, then the K groups, then the V groups.
  [[nodiscard]] std::int64_t qkv_features() const {
    return (num_heads + 2 * num_kv_heads) * head_dim;
  }
};

/// How the model's authors would sample: generation_config.json. Absent fields have the values that
/// transformers gives them.
struct GenerationConfig {
  std::vector<std::int32_t> eos_token_ids;  ///< empty: as in config.json
  bool do_sample = false;
  double temperature = 1.0;
  double top_p = 1.0;
  std::optional<std::int64_t> top_k;
  std::optional<std::int64_t> max_length;  ///< tokens
};

/// The config of the checkpoint in `model_directory`: its config.json.
///
/// Returns kNotFound if there is none; kInvalidArgument, naming file, field and value, if a field
/// is missing, of the wrong type or makes no sense; kUnimplemented if it is another model or needs
/// something that is not implemented, by name.
Result<Glm4vConfig> read_config(const std::string& model_directory);

/// As read_config, from a text; `what` names it in errors.
Result<Glm4vConfig> parse_config(std::string_view text, const std::string& what);

/// generation_config.json of `model_directory`; the defaults if there is none.
/// Returns kInvalidArgument, naming file, field and value, if a field makes no sense.
Result<GenerationConfig> read_generation_config(const std::string& model_directory);

/// As read_generation_config, from a text.
Result<GenerationConfig> parse_generation_config(std::string_view text, const std::string& what);

}  // namespace cardloom::glm4v
