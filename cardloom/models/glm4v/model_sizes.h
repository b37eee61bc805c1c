#pragma once

#include <optional>

#include "cardloom/device/device.h"
#include "cardloom/models/glm4v/memory_plan.h"
#include "cardloom/models/model.h"

namespace cardloom::glm4v {

/// One rank's sizes, from the config: what Glm4vModel says of itself, before it is loaded.
class Glm4vSizes final : public ModelSizes {
 public:
  /// Throws as share_of_rank does.
  Glm4vSizes(const Glm4vConfig& config, DType dtype, int tp, int rank);

  [[nodiscard]] const ModelInfo& info() const override { return info_; }
  [[nodiscard]] const CardShare& share() const { return share_; }
  [[nodiscard]] std::int64_t forward_workspace_bytes(std::int64_t T, std::int64_t R) const override;
  /// For kAuto. kPictures with fewer pictures than cards needs what tp pictures need.
  [[nodiscard]] std::int64_t encode_workspace_bytes(std::int64_t num_pictures) const override;

  /// The largest calls of steps with T rows, of which R give logits, over a context of so many
  /// tokens; and, for a model with vision, of encoding pictures.
  [[nodiscard]] ScratchNeeds scratch_needs(std::int64_t T, std::int64_t R,
                                           std::int64_t context_tokens) const;

 private:
  [[nodiscard]] std::int64_t layer_bytes(std::int64_t T, std::int64_t selected) const;
  [[nodiscard]] std::int64_t tower_bytes(std::int64_t heads, std::int64_t features) const;
  [[nodiscard]] std::int64_t projector_bytes(std::int64_t features) const;

  ModelInfo info_;
  CardShare share_;
  std::int64_t tp_;
  std::int64_t num_heads_;
  std::int64_t intermediate_size_;
  std::optional<VisionConfig> vision_;
};

}  // namespace cardloom::glm4v
