#pragma once

#include <string>

#include "cardloom/layers/step_context.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/models/glm4v/vision_view.h"

namespace cardloom::glm4v {

/// From the vision tower's patches to rows of the text model: a 2 x 2 convolution, a projection and
/// a gated block. R = patches / 4, H = hidden size of the text model.
class Projector {
 public:
  Projector(const VisionConfig& config, ProjectorView weights);

  /// embeds = [boi, R patch rows, eoi] / scaling_factor, the same on every rank of step.comm
  ///
  /// hidden  the model's dtype  [P, W], what the vision tower left
  /// embeds  the model's dtype  [R + 2, H], any strides without overlap
  ///
  /// `trace_suffix` ends the name of what step.trace captures (vision.conv).
  /// Source: EVA2CLIPModel.forward and GLU in visual.py of glm-4v-9b.
  void forward(const StepContext& step, const TensorView& hidden, const TensorView& embeds,
               const std::string& trace_suffix) const;

 private:
  void project(const StepContext& step, const TensorView& hidden, const TensorView& projected,
               const std::string& trace_suffix) const;
  void feed_forward(const StepContext& step, const TensorView& projected,
                    const TensorView& patches) const;

  const VisionConfig config_;
  const ProjectorView weights_;
};

}  // namespace cardloom::glm4v
