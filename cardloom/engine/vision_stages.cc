#include "cardloom/engine/vision_stages.h"

#include <algorithm>

namespace cardloom {

std::vector<VisionStage> vision_stages(int num_layers, int layers_per_stage) {
  std::vector<VisionStage> stages;
  if (num_layers <= 0) return stages;
  const int most = layers_per_stage <= 0 ? num_layers : std::min(layers_per_stage, num_layers);
  const int num_stages = (num_layers - 1) / most + 1;
  int first = 0;
  for (int stage = 0; stage < num_stages; ++stage) {
    const int length = num_layers / num_stages + (stage < num_layers % num_stages ? 1 : 0);
    stages.push_back({first, first + length});
    first += length;
  }
  return stages;
}

}  // namespace cardloom
