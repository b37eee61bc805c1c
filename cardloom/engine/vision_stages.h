#pragma once

#include <vector>

#include "cardloom/models/model.h"

namespace cardloom {

/// The stages that encode pictures with a tower of `num_layers`, each of `layers_per_stage` at the
/// most (0 or less: all at once): as few as there can be, as even as they can be, and the shorter
/// ones last, because the last also does what comes behind the tower. None for a text model.
[[nodiscard]] std::vector<VisionStage> vision_stages(int num_layers, int layers_per_stage);

}  // namespace cardloom
