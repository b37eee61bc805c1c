#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/weights/weight_store.h"

namespace cardloom::glm4v {

/// The names of all tensors of a checkpoint. Three families share the words dense_h_to_4h and
/// dense_4h_to_h: text layers (where h_to_4h holds gate AND up), the projector (up alone, gate is
/// gate_proj); vision layers say fc1 and fc2. Source: state_dict of modeling_chatglm.py, visual.py.
namespace names {

inline constexpr const char* kWordEmbeddings = "transformer.embedding.word_embeddings.weight";
inline constexpr const char* kFinalNorm = "transformer.encoder.final_layernorm.weight";
inline constexpr const char* kOutputLayer = "transformer.output_layer.weight";
/// A buffer that some checkpoints store and nobody reads.
inline constexpr const char* kInvFreq = "transformer.rotary_pos_emb.inv_freq";

inline constexpr const char* kBoi = "transformer.vision.boi";
inline constexpr const char* kEoi = "transformer.vision.eoi";
inline constexpr const char* kClsEmbedding = "transformer.vision.patch_embedding.cls_embedding";
inline constexpr const char* kPatchWeight = "transformer.vision.patch_embedding.proj.weight";
inline constexpr const char* kPatchBias = "transformer.vision.patch_embedding.proj.bias";
inline constexpr const char* kPositionEmbedding =
    "transformer.vision.patch_embedding.position_embedding.weight";
inline constexpr const char* kConvWeight = "transformer.vision.conv.weight";
inline constexpr const char* kConvBias = "transformer.vision.conv.bias";
inline constexpr const char* kProjectorLinear = "transformer.vision.linear_proj.linear_proj.weight";
inline constexpr const char* kProjectorNormWeight = "transformer.vision.linear_proj.norm1.weight";
inline constexpr const char* kProjectorNormBias = "transformer.vision.linear_proj.norm1.bias";
inline constexpr const char* kProjectorGate = "transformer.vision.linear_proj.gate_proj.weight";
inline constexpr const char* kProjectorUp = "transformer.vision.linear_proj.dense_h_to_4h.weight";
inline constexpr const char* kProjectorDown = "transformer.vision.linear_proj.dense_4h_to_h.weight";

/// Parts of a text layer, for text_layer().
inline constexpr const char* kInputNorm = "input_layernorm.weight";  // [H]
inline constexpr const char* kQkvWeight = "self_attention.query_key_value.weight";
inline constexpr const char* kQkvBias = "self_attention.query_key_value.bias";
inline constexpr const char* kO = "self_attention.dense.weight";             // [H, heads * D]
inline constexpr const char* kPostNorm = "post_attention_layernorm.weight";  // [H]
inline constexpr const char* kGateUp = "mlp.dense_h_to_4h.weight";           // [2 * I, H]
inline constexpr const char* kDown = "mlp.dense_4h_to_h.weight";             // [H, I]

/// Parts of a vision layer, for vision_layer().
inline constexpr const char* kVisionInputNormWeight = "input_layernorm.weight";
inline constexpr const char* kVisionInputNormBias = "input_layernorm.bias";
inline constexpr const char* kVisionQkvWeight = "attention.query_key_value.weight";
inline constexpr const char* kVisionQkvBias = "attention.query_key_value.bias";
inline constexpr const char* kVisionDenseWeight = "attention.dense.weight";
inline constexpr const char* kVisionDenseBias = "attention.dense.bias";
inline constexpr const char* kVisionFc1Weight = "mlp.fc1.weight";
inline constexpr const char* kVisionFc1Bias = "mlp.fc1.bias";
inline constexpr const char* kVisionFc2Weight = "mlp.fc2.weight";
inline constexpr const char* kVisionFc2Bias = "mlp.fc2.bias";
inline constexpr const char* kVisionPostNormWeight = "post_attention_layernorm.weight";
inline constexpr const char* kVisionPostNormBias = "post_attention_layernorm.bias";

/// "transformer.encoder.layers.<layer>.<part>".
[[nodiscard]] std::string text_layer(std::int64_t layer, std::string_view part);

/// "transformer.vision.transformer.layers.<layer>.<part>".
[[nodiscard]] std::string vision_layer(std::int64_t layer, std::string_view part);

}  // namespace names

/// A tensor that the checkpoint must hold.
struct ExpectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// All tensors of a model, in the order of the original state_dict; linear weights are [N, K].
[[nodiscard]] std::vector<ExpectedTensor> expected_tensors(const Glm4vConfig& config);

/// Sum over expected_tensors of the products of their shapes.
[[nodiscard]] std::int64_t num_parameters(const Glm4vConfig& config);

/// Whether the checkpoint holds what the config says. Shapes and dtypes are checked where the index
/// knows them. Surplus tensors are no failure: see surplus_tensors.
/// Returns kDataLoss for the first tensor that is missing or has another shape (both are named),
/// kUnimplemented for the first whose dtype is none of BF16, F16, F32.
Status check_weights(const Glm4vConfig& config, const TensorIndex& index);

/// Names that the checkpoint holds and the model does not use, sorted; inv_freq is not counted.
[[nodiscard]] std::vector<std::string> surplus_tensors(const Glm4vConfig& config,
                                                       const TensorIndex& index);

}  // namespace cardloom::glm4v
