#pragma once

#include <string>

#include "cardloom/layers/step_context.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/models/glm4v/vision_view.h"
#include "cardloom/models/model.h"

namespace cardloom::glm4v {

/// Patches of a picture, and layers of full attention with the norm on each branch's output.
/// P = patches + 1 (row 0 is the class token), W = hidden size of the vision model.
class VisionTower {
 public:
  VisionTower(const VisionConfig& config, VisionTowerView weights);

  /// hidden = the output of the stage's last layer for one picture, the same on every rank of
  /// step.comm; from the pixels if the stage begins with layer 0, else from hidden
  ///
  /// pixel_values  f32                [channels, S, S], any strides; if stage.first_layer is 0
  /// hidden        the model's dtype  [P, W], contiguous
  ///
  /// `trace_suffix` ends the names of what step.trace captures (vision.embed, vision.layer.<n>).
  /// Source: EVA2CLIPModel in visual.py of glm-4v-9b.
  void forward(const StepContext& step, const VisionStage& stage, const TensorView& pixel_values,
               const TensorView& hidden, const std::string& trace_suffix) const;

 private:
  void embed(const StepContext& step, const TensorView& pixel_values,
             const TensorView& hidden) const;
  void attend(const StepContext& step, const VisionLayerView& layer,
              const TensorView& hidden) const;
  void feed_forward(const StepContext& step, const VisionLayerView& layer,
                    const TensorView& hidden) const;

  const VisionConfig config_;
  const VisionTowerView weights_;
  const float eps_;
  const float scale_;
};

}  // namespace cardloom::glm4v
