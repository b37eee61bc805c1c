#include "cardloom/models/glm4v/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cardloom/base/file.h"
#include "cardloom/base/json.h"
#include "cardloom/models/glm4v/config_fields.h"
#include "cardloom/weights/printable.h"

namespace cardloom::glm4v {
namespace {

// Far above any checkpoint of this family, and so small that no product of sizes overflows: a
// matrix has at most 2^41 elements, a model of 1024 layers fewer than 2^56.
constexpr std::int64_t kMaxFeatures = std::int64_t{1} << 20;
constexpr std::int64_t kMaxRows = std::int64_t{1} << 24;  // vocabulary, positions
constexpr std::int64_t kMaxLayers = 1024;
constexpr std::int64_t kMaxImageSize = 16384;
constexpr std::int64_t kMaxPatchSize = 512;

constexpr std::int64_t kMaxConfigBytes = 1 << 20;  // the real ones have 2 KB

constexpr double kMinEps = 1e-12;  // below, its square root vanishes beside any activation in f32
constexpr double kRopeBase = 10000;

constexpr const char* kSupported =
    "supported: model_type chatglm with architectures ChatGLMModel or "
    "ChatGLMForConditionalGeneration, that is THUDM/glm-4v-9b and THUDM/glm-4-9b-chat";

/// Refuses every model that is not of this family, and says what it is if we know.
void check_family(ConfigFields& fields) {
  const std::string model_type = fields.text("model_type");
  if (!fields.status()) return;
  const std::string rule = fmt::format("model_type {} is not supported", printable(model_type));
  if (model_type == "glm4v") {
    fields.unsupported(rule,
                       "this is GLM-4.1V, a different model in spite of its name: another vision "
                       "tower, other positions, other norms",
                       "use a checkpoint of THUDM/glm-4v-9b");
  } else if (model_type == "glm") {
    fields.unsupported(rule,
                       "this is a checkpoint in the format of transformers (-hf): its tensors "
                       "have other names; not supported yet",
                       "use the original checkpoint, such as THUDM/glm-4-9b-chat without -hf");
  } else if (model_type != "chatglm") {
    fields.unsupported(rule, kSupported, "use a checkpoint of THUDM/glm-4v-9b");
  }
  const std::vector<std::string> architectures = fields.texts("architectures");
  const auto is_known = [](const std::string& name) {
    return name == "ChatGLMModel" || name == "ChatGLMForConditionalGeneration";
  };
  if (!architectures.empty() &&
      std::none_of(architectures.begin(), architectures.end(), is_known)) {
    fields.unsupported(fmt::format("architecture {} is not supported", printable(architectures[0])),
                       kSupported, "use a checkpoint of THUDM/glm-4v-9b");
  }
}

/// Refuses, by name, what the original code can do and this program does not. The defaults for
/// absent fields are those of configuration_chatglm.py.
void check_features(ConfigFields& fields) {
  fields.require_boolean("rmsnorm", true, true, "LayerNorm in the text model is not implemented");
  fields.require_boolean("post_layer_norm", true, true, "the final norm cannot be left out");
  fields.require_boolean("apply_residual_connection_post_layernorm", false, false,
                         "the residual is taken before the norm");
  fields.require_boolean("add_bias_linear", false, false,
                         "biases are implemented for query_key_value alone");
  fields.require_boolean("add_qkv_bias", true, false, "query_key_value has a bias in GLM-4");
  fields.require_boolean("original_rope", true, true,
                         "rotary embedding turns interleaved pairs of half a head");
  fields.require_boolean("fp32_residual_connection", false, false,
                         "the residual has the dtype of the step");
  // Without groups the rows of query_key_value are interleaved head by head: another layout.
  fields.require_boolean("multi_query_attention", true, false,
                         "query_key_value must hold all queries, then the K and the V groups");
  const std::optional<std::int64_t> bits = fields.optional_integer("quantization_bit", 0, 32);
  if (bits.value_or(0) != 0 || fields.has("quantization_config")) {
    fields.unsupported("quantised checkpoints are not supported", "BF16, F16 and F32 are",
                       "use the checkpoint in BF16");
  }
  if (fields.optional_integer("pre_seq_len", 0, kMaxRows).value_or(0) != 0) {
    fields.unsupported("field pre_seq_len: prefix tuning is not supported", {},
                       "use the model without its prefix encoder");
  }
}

/// num_layers; num_hidden_layers is the same thing under transformers' name.
std::int64_t read_num_layers(ConfigFields& fields) {
  const auto ours = fields.optional_integer("num_layers", 1, kMaxLayers);
  const auto theirs = fields.optional_integer("num_hidden_layers", 1, kMaxLayers);
  if (!ours && !theirs) fields.missing("num_layers");
  fields.require(!ours || !theirs || *ours == *theirs,
                 fmt::format("num_layers is {}, num_hidden_layers {}: they must be equal",
                             ours.value_or(0), theirs.value_or(0)));
  return ours ? *ours : theirs.value_or(1);
}

DType read_dtype(ConfigFields& fields) {
  const char* name = fields.has("torch_dtype") ? "torch_dtype" : "dtype";
  const std::string dtype = fields.text_or(name, "bfloat16");
  if (dtype == "float32") return DType::kF32;
  if (dtype == "float16") return DType::kF16;
  if (dtype != "bfloat16") {
    fields.unsupported(
        fmt::format("field {} is {}, which is not supported", name, printable(dtype)),
        "supported: bfloat16, float16, float32", "convert the checkpoint to bfloat16");
  }
  return DType::kBF16;
}

void read_text(ConfigFields& fields, Glm4vConfig& config) {
  config.hidden_size = fields.integer("hidden_size", 1, kMaxFeatures);
  config.intermediate_size = fields.integer("ffn_hidden_size", 1, kMaxFeatures);
  config.num_layers = read_num_layers(fields);
  config.num_heads = fields.integer("num_attention_heads", 1, kMaxFeatures);
  config.num_kv_heads = fields.integer("multi_query_group_num", 1, kMaxFeatures);
  config.head_dim = fields.integer("kv_channels", 1, kMaxFeatures);
  config.rotary_dim = config.head_dim / 2;
  config.vocab_size = fields.integer("padded_vocab_size", 1, kMaxRows);
  config.max_positions = fields.integer("seq_length", 1, kMaxRows);
  config.rms_norm_eps = fields.number("layernorm_epsilon", kMinEps, 1);
  config.rope_theta = kRopeBase * fields.number_or("rope_ratio", 1e-6, 1e9, 1);
  config.tie_word_embeddings = fields.boolean_or("tie_word_embeddings", false);
  config.torch_dtype = read_dtype(fields);
  if (!fields.status()) return;
  fields.require(config.num_heads % config.num_kv_heads == 0,
                 fmt::format("num_attention_heads {} is not a multiple of multi_query_group_num {}",
                             config.num_heads, config.num_kv_heads));
  fields.require(
      config.head_dim % 4 == 0,
      fmt::format("kv_channels is {}, it must be a multiple of 4: half a head is rotated, "
                  "in pairs",
                  config.head_dim));
  // Both factors are at most 2^20: the product cannot overflow, but it may be absurd.
  fields.require(
      config.qkv_features() <= kMaxFeatures,
      fmt::format("(num_attention_heads {} + 2 x multi_query_group_num {}) x kv_channels {} "
                  "is {}, more than {}",
                  config.num_heads, config.num_kv_heads, config.head_dim, config.qkv_features(),
                  kMaxFeatures));
}

void read_token_ids(ConfigFields& fields, Glm4vConfig& config) {
  if (!fields.status()) return;
  config.eos_token_ids = fields.token_ids("eos_token_id", config.vocab_size);
  if (config.eos_token_ids.empty()) fields.missing("eos_token_id");
  config.pad_token_id = fields.token_id("pad_token_id", config.vocab_size);
  config.boi_token_id = fields.token_id("boi_token_id", config.vocab_size);
  config.eoi_token_id = fields.token_id("eoi_token_id", config.vocab_size);
}

void check_grid(ConfigFields& fields, const VisionConfig& vision) {
  fields.require(vision.hidden_size % vision.num_heads == 0,
                 fmt::format("vision_config: hidden_size {} is not a multiple of num_heads {}",
                             vision.hidden_size, vision.num_heads));
  fields.require(vision.image_size % vision.patch_size == 0,
                 fmt::format("vision_config: image_size {} is not a multiple of patch_size {}",
                             vision.image_size, vision.patch_size));
  fields.require(
      vision.grid() % 2 == 0,
      fmt::format("vision_config: image_size {} has {} patches of {} a side; it must be an "
                  "even number, since 2 x 2 patches become one row",
                  vision.image_size, vision.grid(), vision.patch_size));
  fields.require(
      vision.num_positions == vision.num_patches() + 1,
      fmt::format("vision_config: num_positions is {}, {} patches and the class token make {}",
                  vision.num_positions, vision.num_patches(), vision.num_patches() + 1));
}

Result<VisionConfig> read_vision(const json::object& object, const std::string& what) {
  ConfigFields fields(object, what, "vision_config.");
  VisionConfig vision;
  vision.hidden_size = fields.integer("hidden_size", 1, kMaxFeatures);
  vision.intermediate_size = fields.integer("intermediate_size", 1, kMaxFeatures);
  vision.num_layers = fields.integer("num_hidden_layers", 1, kMaxLayers);
  vision.num_heads = fields.integer("num_heads", 1, kMaxFeatures);
  vision.head_dim = vision.hidden_size / vision.num_heads;
  vision.in_channels = fields.integer("in_channels", 1, 1024);
  vision.image_size = fields.integer("image_size", 1, kMaxImageSize);
  vision.patch_size = fields.integer("patch_size", 1, kMaxPatchSize);
  vision.num_positions = fields.integer("num_positions", 1, kMaxRows);
  vision.layer_norm_eps = fields.number("layer_norm_eps", kMinEps, 1);
  vision.scaling_factor = fields.number("scaling_factor", 1e-6, 1e9);
  const std::string activation = fields.text("hidden_act");
  if (!fields.status()) return fields.status().error();
  if (activation != "gelu") {
    fields.unsupported(fmt::format("field vision_config.hidden_act is {}, only \"gelu\" (exact) is "
                                   "supported",
                                   printable(activation)),
                       {}, "use a checkpoint of THUDM/glm-4v-9b");
  }
  if (vision.in_channels != 3) {
    fields.unsupported(
        fmt::format("field vision_config.in_channels is {}, only 3 (RGB) is supported",
                    vision.in_channels),
        {}, "use a checkpoint of THUDM/glm-4v-9b");
  }
  check_grid(fields, vision);
  if (!fields.status()) return fields.status().error();
  return vision;
}

void check_image_tokens(ConfigFields& fields, const Glm4vConfig& config) {
  if (!config.vision) return;
  if (!config.boi_token_id) fields.missing("boi_token_id");
  if (!config.eoi_token_id) fields.missing("eoi_token_id");
  fields.require(
      config.boi_token_id != config.eoi_token_id,
      fmt::format("boi_token_id and eoi_token_id are both {}: the end of a picture could "
                  "not be told from its beginning",
                  config.boi_token_id.value_or(0)));
}

/// The text of a config file in `folder`; kNotFound says what kind of folder is wanted.
Result<std::string> read_from(const std::string& folder, const char* name) {
  Result<std::string> text =
      read_file((std::filesystem::path(folder) / name).string(), kMaxConfigBytes);
  if (text || text.error().code != ErrorCode::kNotFound) return text;
  Error error = text.error();
  error.remedy = "give the folder of a Hugging Face checkpoint of THUDM/glm-4v-9b";
  return error;
}

/// The object that a config file must be.
Result<json::object> parse_object(std::string_view text, const std::string& what) {
  Result<json::value> parsed = parse_json(text, what);
  if (!parsed) return parsed.error();
  if (parsed->is_object()) return std::move(parsed->get_object());
  return make_error(ErrorCode::kInvalidArgument, fmt::format("{}: it must be a JSON object", what),
                    {}, "take the file as published with the checkpoint");
}

}  // namespace

Result<Glm4vConfig> parse_config(std::string_view text, const std::string& what) {
  const Result<json::object> object = parse_object(text, what);
  if (!object) return object.error();
  ConfigFields fields(*object, what, "");
  check_family(fields);
  check_features(fields);
  if (!fields.status()) return fields.status().error();
  Glm4vConfig config;
  read_text(fields, config);
  read_token_ids(fields, config);
  const json::object* vision_object = fields.object("vision_config");
  if (!fields.status()) return fields.status().error();
  if (vision_object != nullptr) {
    Result<VisionConfig> vision = read_vision(*vision_object, what);
    if (!vision) return vision.error();
    config.vision = *vision;
  }
  check_image_tokens(fields, config);
  if (!fields.status()) return fields.status().error();
  return config;
}

Result<Glm4vConfig> read_config(const std::string& model_directory) {
  const Result<std::string> text = read_from(model_directory, "config.json");
  if (!text) return text.error();
  return parse_config(*text, (std::filesystem::path(model_directory) / "config.json").string());
}

Result<GenerationConfig> parse_generation_config(std::string_view text, const std::string& what) {
  const Result<json::object> object = parse_object(text, what);
  if (!object) return object.error();
  ConfigFields fields(*object, what, "");
  GenerationConfig generation;
  generation.eos_token_ids = fields.token_ids("eos_token_id", kMaxRows);
  generation.do_sample = fields.boolean_or("do_sample", false);
  generation.temperature = fields.number_or("temperature", 0, 100, 1);
  generation.top_p = fields.number_or("top_p", 0, 1, 1);
  generation.top_k = fields.optional_integer("top_k", 0, kMaxRows);
  generation.max_length = fields.optional_integer("max_length", 1, INT64_MAX);
  if (!fields.status()) return fields.status().error();
  return generation;
}

Result<GenerationConfig> read_generation_config(const std::string& model_directory) {
  const Result<std::string> text = read_from(model_directory, "generation_config.json");
  if (text) {
    return parse_generation_config(
        *text, (std::filesystem::path(model_directory) / "generation_config.json").string());
  }
  // What exists but cannot be read is an error; what is absent is not.
  if (text.error().code != ErrorCode::kNotFound) return text.error();
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::path(model_directory) / "generation_config.json",
                              ignored)) {
    return text.error();
  }
  return GenerationConfig{};
}

}  // namespace cardloom::glm4v
