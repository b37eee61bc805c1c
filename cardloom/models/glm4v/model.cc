#include "cardloom/models/glm4v/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "cardloom/base/error.h"
#include "cardloom/layers/row_selection.h"
#include "cardloom/layers/trace.h"
#include "cardloom/ops/all_gather.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/embedding_lookup.h"
#include "cardloom/ops/matmul.h"
#include "cardloom/ops/rms_norm.h"
#include "cardloom/ops/top_k.h"

namespace cardloom::glm4v {
namespace {

/// A group of one rank exchanges nothing.
constexpr ThreadGroupOptions kAlone{.buffer_bytes = 64 << 10};

void require_shape(const TensorView& view, const char* name, const TensorView& wanted,
                   Location caller = Location::current()) {
  if (same_shape(view, wanted) && view.dtype == wanted.dtype) return;
  throw_error(ErrorCode::kInvalidArgument,
              fmt::format("{} is {}, the model needs {}", name, to_string(view), to_string(wanted)),
              {}, {}, caller);
}

}  // namespace

ModelWeights::ModelWeights(std::vector<RankWeights> all_ranks) : ranks(std::move(all_ranks)) {
  if (ranks.size() > 1 && ranks[0].vision) whole_vision.emplace(ranks);
}

Glm4vModel::Glm4vModel(const Glm4vConfig& config, std::shared_ptr<const ModelWeights> weights,
                       int rank)
    : config_(config),
      weights_(std::move(weights)),
      own_(weights_->ranks[static_cast<std::size_t>(rank)]),
      rank_(rank),
      tp_(static_cast<int>(weights_->ranks.size())),
      sizes_(config, own_.embedding.view().dtype, tp_, rank),
      info_(sizes_.info()),
      alone_(1, kAlone) {
  layers_.reserve(own_.layers.size());
  for (std::int64_t index = 0; index < config_.num_layers; ++index) {
    layers_.emplace_back(config_, own_, index);
  }
  if (config_.vision) vision_.emplace(make_vision(config_, view_of_rank(own_)));
  if (weights_->whole_vision) {
    whole_vision_.emplace(make_vision(config_, weights_->whole_vision->view(rank)));
  }
}

Glm4vModel::Vision Glm4vModel::make_vision(const Glm4vConfig& config, const VisionView& view) {
  return {VisionTower(*config.vision, view.tower), Projector(*config.vision, view.projector)};
}

void Glm4vModel::require_vision() const {
  if (vision_) return;
  throw_error(ErrorCode::kInvalidArgument,
              fmt::format("{} is a text model and takes no pictures", info_.architecture),
              "config.json has no vision_config",
              "leave out the pictures or use a glm-4v checkpoint");
}

bool Glm4vModel::is_last(const VisionStage& stage) const {
  return stage.end_layer == info_.num_vision_layers;
}

void Glm4vModel::check_pictures(std::span<const PictureJob> pictures,
                                const VisionStage& stage) const {
  require_vision();
  if (stage.first_layer < 0 || stage.first_layer >= stage.end_layer ||
      stage.end_layer > info_.num_vision_layers) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("a stage has layers {} to {} of a vision tower of {}",
                            stage.first_layer, stage.end_layer, info_.num_vision_layers));
  }
  const VisionConfig& vision = *config_.vision;
  const TensorView pixels =
      make_view(nullptr, DType::kF32, {vision.in_channels, vision.image_size, vision.image_size});
  const TensorView hidden =
      make_view(nullptr, info_.dtype, {info_.vision_rows, info_.vision_hidden_size});
  const TensorView embeds = make_view(nullptr, info_.dtype, {info_.image_rows, info_.hidden_size});
  for (const PictureJob& job : pictures) {
    if (stage.first_layer == 0) require_shape(job.pixel_values, "pixel_values", pixels);
    require_shape(job.hidden, "hidden state of a picture", hidden);
    if (is_last(stage)) require_shape(job.embeds, "embeds of a picture", embeds);
  }
}

/// Picture n of a trace is captured as `vision.embed.n`, but the first as `vision.embed`.
void Glm4vModel::number_pictures(Trace* trace, std::size_t num_pictures) {
  trace_suffixes_.clear();
  for (std::size_t picture = 0; picture < num_pictures; ++picture) {
    const std::int64_t number = trace != nullptr ? trace->take_picture_number() : 0;
    trace_suffixes_.push_back(number == 0 ? std::string() : fmt::format(".{}", number));
  }
}

VisionCut Glm4vModel::encode(const StepContext& step, std::span<const PictureJob> pictures,
                             VisionCut cut, const VisionStage& stage) {
  if (pictures.empty()) return cut;
  check_pictures(pictures, stage);
  if (cut == VisionCut::kAuto) {
    const bool enough = tp_ > 1 && pictures.size() >= static_cast<std::size_t>(tp_);
    cut = enough ? VisionCut::kPictures : VisionCut::kHeads;
  }
  if (stage.first_layer == 0) number_pictures(step.trace, pictures.size());
  trace_suffixes_.resize(pictures.size());
  if (cut == VisionCut::kPictures && tp_ > 1) {
    encode_apart(step, pictures, stage);
  } else {
    encode_together(step, pictures, stage);
  }
  return cut;
}

void Glm4vModel::encode_together(const StepContext& step, std::span<const PictureJob> pictures,
                                 const VisionStage& stage) const {
  for (std::size_t p = 0; p < pictures.size(); ++p) {
    const PictureJob& job = pictures[p];
    vision_->tower.forward(step, stage, job.pixel_values, job.hidden, trace_suffixes_[p]);
    if (!is_last(stage)) continue;
    vision_->projector.forward(step, job.hidden, job.embeds, trace_suffixes_[p]);
  }
}

/// Picture p on card p % tp, with the whole weights and nobody to wait for. A card's trace has the
/// pictures that the card encodes.
void Glm4vModel::encode_apart(const StepContext& step, std::span<const PictureJob> pictures,
                              const VisionStage& stage) {
  const StepContext alone{step.stream, alone_.communicator(0), step.workspace, step.trace};
  const auto tp = static_cast<std::size_t>(tp_);
  for (auto p = static_cast<std::size_t>(rank_); p < pictures.size(); p += tp) {
    const PictureJob& job = pictures[p];
    whole_vision_->tower.forward(alone, stage, job.pixel_values, job.hidden, trace_suffixes_[p]);
  }
  if (is_last(stage)) project_apart(step, alone, pictures);
}

/// Each card projects its pictures, and their rows go to all: a rank that has none of a picture
/// gives none of its columns.
void Glm4vModel::project_apart(const StepContext& step, const StepContext& alone,
                               std::span<const PictureJob> pictures) const {
  const auto tp = static_cast<std::size_t>(tp_);
  const Workspace::Scope scratch(step.workspace);
  const TensorView mine = step.workspace.take(info_.dtype, {info_.image_rows, info_.hidden_size});
  for (std::size_t first = 0; first < pictures.size(); first += tp) {
    const std::size_t end = std::min(first + tp, pictures.size());
    const std::size_t own = first + static_cast<std::size_t>(rank_);
    if (own < end) {
      whole_vision_->projector.forward(alone, pictures[own].hidden, mine, trace_suffixes_[own]);
    }
    const OpScope scope(step.stream.log(), "vision");
    for (std::size_t p = first; p < end; ++p) {
      ops::all_gather(step.stream, step.comm, p == own ? mine : mine.slice(1, 0, 0), 0,
                      pictures[p].embeds);
    }
  }
}

/// All that can be seen before anything is launched.
void Glm4vModel::check_input(const ModelInput& input) const {
  const std::int64_t T = input.token_ids.shape[0];
  const std::int64_t R = input.logits_rows.shape[0];
  std::int64_t before = -1;
  for (std::int64_t r = 0; r < R; ++r) {
    const std::int64_t row = *input.logits_rows.at<std::int32_t>(r);
    if (row <= before || row >= T) {
      throw_error(ErrorCode::kInvalidArgument,
                  fmt::format("logits_rows must ascend and stay below {} rows", T),
                  fmt::format("logits_rows[{}] is {} after {}", r, row, before));
    }
    before = row;
  }
  if (!input.image_rows.empty()) require_vision();
  for (const ImageRows& rows : input.image_rows) {
    const TensorView& embeds = rows.embeds;
    if (embeds.rank == 2 && embeds.shape[1] == info_.hidden_size && rows.first_row >= 0 &&
        embeds.shape[0] <= T - rows.first_row) {
      continue;
    }
    throw_error(ErrorCode::kInvalidArgument, "rows of a picture do not fit the step",
                fmt::format("{} from row {}, the step has {} rows of {}", to_string(embeds),
                            rows.first_row, T, info_.hidden_size));
  }
}

void Glm4vModel::check_output(const ModelOutput& output, std::int64_t R) const {
  if (output.logits.rank > 0 || output.candidate_ids.rank == 0) {
    require_shape(output.logits, "logits", make_view(nullptr, DType::kF32, {R, info_.vocab_size}));
    return;
  }
  const std::int64_t k = output.candidate_ids.shape[output.candidate_ids.rank - 1];
  require_shape(output.candidate_ids, "candidate_ids", make_view(nullptr, DType::kI32, {R, k}));
  require_shape(output.candidate_logits, "candidate_logits",
                make_view(nullptr, DType::kF32, {R, k}));
}

void Glm4vModel::forward(const StepContext& step, const ModelInput& input, const KvCache& kv_cache,
                         const ModelOutput& output) {
  const std::int64_t T = input.token_ids.shape[0];
  const std::int64_t R = input.logits_rows.shape[0];
  check_input(input);
  check_output(output, R);
  const Workspace::Scope scratch(step.workspace);
  const TensorView hidden = step.workspace.take(info_.dtype, {T, info_.hidden_size});
  embed(step, input, hidden);

  const OpScope scope(step.stream.log(), "text");
  TensorView wanted = hidden;
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    const bool is_last = index + 1 == layers_.size();
    if (is_last && R < T) wanted = select_rows(step, hidden, input.logits_rows);
    layers_[index].forward(step, input, kv_cache.layer(static_cast<int>(index)), hidden, wanted);
    if (step.trace != nullptr) {
      step.trace->capture(step.stream, fmt::format("text.layer.{}", index), wanted);
    }
  }
  if (R > 0) compute_logits(step, wanted, output);
}

/// hidden = word embeddings; rows of pictures are replaced by their encoded rows.
void Glm4vModel::embed(const StepContext& step, const ModelInput& input,
                       const TensorView& hidden) const {
  const OpScope scope(step.stream.log(), "embedding");
  ops::embedding_lookup(step.stream, step.comm, input.token_ids, own_.embedding,
                        own_.share.vocabulary.begin, hidden);
  for (const ImageRows& rows : input.image_rows) {
    ops::copy(step.stream, rows.embeds,
              hidden.slice(0, rows.first_row, rows.first_row + rows.embeds.shape[0]));
  }
}

/// logits = lm_head(final_norm(rows)), normed in place: each rank its part of the vocabulary.
void Glm4vModel::compute_logits(const StepContext& step, const TensorView& rows,
                                const ModelOutput& output) const {
  {
    const OpScope scope(step.stream.log(), "final");
    ops::rms_norm(step.stream, rows, own_.final_norm, rows,
                  {.eps = static_cast<float>(config_.rms_norm_eps)});
    if (step.trace != nullptr) step.trace->capture(step.stream, "text.final", rows);
  }
  const OpScope scope(step.stream.log(), "lm_head");
  const IndexRange vocabulary = own_.share.vocabulary;
  const TensorView local = step.workspace.take(DType::kF32, {rows.shape[0], vocabulary.size()});
  ops::matmul(step.stream, rows, own_.lm_head.weight.matrix(), local);
  if (output.logits.rank > 0) {
    ops::all_gather(step.stream, step.comm, local, vocabulary.begin, output.logits);
  } else {
    ops::top_k(step.stream, local, vocabulary.begin, output.candidate_logits, output.candidate_ids);
  }
}

}  // namespace cardloom::glm4v
