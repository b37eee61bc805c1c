#pragma once

#include <span>
#include <string>

#include "cardloom/layers/kv_cache.h"
#include "cardloom/layers/step_context.h"

namespace cardloom {

/// Rows [first_row, first_row + rows of embeds) of a step come from an encoded picture.
struct ImageRows {
  std::int64_t first_row = 0;
  TensorView embeds;  ///< [rows, H], the model's dtype
};

/// One step's rows on one rank; the same on every rank. T rows of S sequences, R rows of logits.
struct ModelInput {
  TensorView token_ids;        ///< i32 [T]
  TensorView positions;        ///< i32 [T]
  TensorView slot_mapping;     ///< i64 [T]
  TensorView token_sequences;  ///< i32 [T], row of block_tables
  TensorView context_lens;     ///< i32 [T], keys visible to the row, itself included
  TensorView block_tables;     ///< i32 [S, max_blocks]
  TensorView logits_rows;      ///< i32 [R], ascending rows of the step whose logits are wanted
  std::span<const ImageRows> image_rows;
};

/// What a step is to find out about the R rows asked for: one of the two, the same on every rank.
struct ModelOutput {
  TensorView logits{};  ///< f32 [R, V]: complete on every rank; rank 0: not wanted

  /// f32 and i32 [R, k]: the k first of this rank's part of the vocabulary, as ops::top_k orders
  /// and fills them. Ranks exchange nothing for it.
  TensorView candidate_logits{};
  TensorView candidate_ids{};
};

/// Part of an encoding: layers [first_layer, end_layer) of the vision tower. Layer 0 comes with
/// what is before it, the last of num_vision_layers with what makes rows of the text model of its
/// output. So a step can be as short as a layer, and others run in between.
struct VisionStage {
  int first_layer = 0;
  int end_layer = 0;
};

/// A picture to encode.
struct PictureJob {
  TensorView pixel_values{};  ///< f32 [3, S, S]; only the first stage looks at it
  /// [vision_rows, vision_hidden_size], the model's dtype, contiguous, this rank's own: what a
  /// stage leaves to the next; nothing to the first.
  TensorView hidden{};
  /// Out: [image_rows, H], the model's dtype, this rank's own copy; the last stage writes it.
  TensorView embeds{};
};

/// What the engine must know of a model.
struct ModelInfo {
  std::string architecture;    ///< "glm-4v" or "glm-4"
  DType dtype = DType::kBF16;  ///< of activations and KV
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  int num_layers = 0;
  std::int64_t num_kv_heads = 0;  ///< of this rank
  std::int64_t head_dim = 0;
  std::int64_t max_positions = 0;  ///< the context: rows a sequence may have
  std::int64_t image_rows = 0;     ///< rows of one encoded picture; 0: a text model
  std::int64_t image_size = 0;     ///< S of pixel_values
  int num_vision_layers = 0;       ///< where an encoding can be parted
  std::int64_t vision_rows = 0;    ///< of a picture's hidden state between layers
  std::int64_t vision_hidden_size = 0;
};

/// How pictures are cut over cards: each by heads and features over all, or whole pictures a card.
/// The same bits either way.
enum class VisionCut { kAuto, kHeads, kPictures };

/// What one rank's share of a model needs beside its weights: known from the config alone, so that
/// memory can be planned before anything is loaded.
class ModelSizes {
 public:
  virtual ~ModelSizes() = default;

  [[nodiscard]] virtual const ModelInfo& info() const = 0;
  /// Workspace that forward needs for T rows and R rows of logits, and encode for its pictures.
  /// It grows with T and R, but R = T may need less than R = T - 1: nothing is selected then.
  [[nodiscard]] virtual std::int64_t forward_workspace_bytes(std::int64_t T,
                                                             std::int64_t R) const = 0;
  [[nodiscard]] virtual std::int64_t encode_workspace_bytes(std::int64_t num_pictures) const = 0;
};

/// One rank's share of a model. All ranks run the same calls in the same order.
class Model : public ModelSizes {
 public:
  /// Runs one stage of encoding pictures; after the last every rank has all embeds. The stages of
  /// a set of pictures must follow one another with the same pictures in the same order and the
  /// same cut, each with the hidden states that the one before left; how layers are parted changes
  /// no bit. kAuto: whole pictures a card if there are at least as many pictures as cards. Returns
  /// the cut that was used.
  virtual VisionCut encode(const StepContext& step, std::span<const PictureJob> pictures,
                           VisionCut cut, const VisionStage& stage) = 0;

  /// Runs T rows through the model, appending their keys and values to `kv_cache`. A trace gets the
  /// last layer's output and what follows of the rows asked for alone.
  virtual void forward(const StepContext& step, const ModelInput& input, const KvCache& kv_cache,
                       const ModelOutput& output) = 0;
};

}  // namespace cardloom
