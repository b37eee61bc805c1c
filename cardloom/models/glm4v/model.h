#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cardloom/comm/thread_communicator.h"
#include "cardloom/models/glm4v/decoder_layer.h"
#include "cardloom/models/glm4v/model_sizes.h"
#include "cardloom/models/glm4v/projector.h"
#include "cardloom/models/glm4v/vision_tower.h"
#include "cardloom/models/model.h"

namespace cardloom::glm4v {

/// All ranks' weights, and the vision half joined if there are several ranks.
struct ModelWeights {
  explicit ModelWeights(std::vector<RankWeights> all_ranks);
  ModelWeights(const ModelWeights&) = delete;  // whole_vision looks at ranks
  ModelWeights& operator=(const ModelWeights&) = delete;

  const std::vector<RankWeights> ranks;
  std::optional<WholeVision> whole_vision;
};

/// GLM-4V, or GLM-4 if the config has no vision: one rank's share.
class Glm4vModel final : public Model {
 public:
  /// `weights` is shared because a rank encodes whole pictures with the pieces of all of them: the
  /// last rank's model ends it.
  Glm4vModel(const Glm4vConfig& config, std::shared_ptr<const ModelWeights> weights, int rank);

  [[nodiscard]] const ModelInfo& info() const override { return info_; }
  [[nodiscard]] std::int64_t forward_workspace_bytes(std::int64_t T,
                                                     std::int64_t R) const override {
    return sizes_.forward_workspace_bytes(T, R);
  }
  /// For kAuto. kPictures with fewer pictures than cards needs what tp pictures need.
  [[nodiscard]] std::int64_t encode_workspace_bytes(std::int64_t num_pictures) const override {
    return sizes_.encode_workspace_bytes(num_pictures);
  }

  /// Throws kInvalidArgument for a text model, a stage outside the tower, or a picture, hidden
  /// state or output of another shape.
  VisionCut encode(const StepContext& step, std::span<const PictureJob> pictures, VisionCut cut,
                   const VisionStage& stage) override;

  /// Throws kInvalidArgument for rows of pictures that leave the step or given to a text model,
  /// rows of logits that leave it, or outputs of another shape.
  void forward(const StepContext& step, const ModelInput& input, const KvCache& kv_cache,
               const ModelOutput& output) override;

 private:
  /// Tower and projector of one cut.
  struct Vision {
    VisionTower tower;
    Projector projector;
  };
  [[nodiscard]] static Vision make_vision(const Glm4vConfig& config, const VisionView& view);

  void require_vision() const;
  void check_pictures(std::span<const PictureJob> pictures, const VisionStage& stage) const;
  void number_pictures(Trace* trace, std::size_t num_pictures);
  [[nodiscard]] bool is_last(const VisionStage& stage) const;
  void encode_together(const StepContext& step, std::span<const PictureJob> pictures,
                       const VisionStage& stage) const;
  void encode_apart(const StepContext& step, std::span<const PictureJob> pictures,
                    const VisionStage& stage);
  void project_apart(const StepContext& step, const StepContext& alone,
                     std::span<const PictureJob> pictures) const;

  void check_input(const ModelInput& input) const;
  void check_output(const ModelOutput& output, std::int64_t R) const;
  void embed(const StepContext& step, const ModelInput& input, const TensorView& hidden) const;
  void compute_logits(const StepContext& step, const TensorView& rows,
                      const ModelOutput& output) const;

  const Glm4vConfig config_;
  const std::shared_ptr<const ModelWeights> weights_;
  const RankWeights& own_;
  const int rank_;
  const int tp_;
  const Glm4vSizes sizes_;
  const ModelInfo& info_;
  std::vector<DecoderLayer> layers_;
  std::optional<Vision> vision_;        ///< this rank's share
  std::optional<Vision> whole_vision_;  ///< all of it; if tp > 1
  ThreadGroup alone_;                   ///< of one rank: for whole pictures
  /// How the pictures between stages end the names of what a trace captures: "", ".1", ...
  std::vector<std::string> trace_suffixes_;
};

}  // namespace cardloom::glm4v
