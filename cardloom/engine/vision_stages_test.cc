#include "cardloom/engine/vision_stages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace cardloom {
namespace {

TEST(VisionStages, CoverTheTowerEvenly) {
  for (int num_layers = 1; num_layers <= 70; ++num_layers) {
    for (int most = 1; most <= 75; ++most) {
      const std::vector<VisionStage> stages = vision_stages(num_layers, most);
      ASSERT_EQ(static_cast<int>(stages.size()), (num_layers + most - 1) / most);
      const int longest = stages.front().end_layer;
      int next = 0;
      int previous = longest;
      for (const VisionStage& stage : stages) {
        const int length = stage.end_layer - stage.first_layer;
        ASSERT_EQ(stage.first_layer, next);
        ASSERT_LE(length, std::min(previous, most));
        ASSERT_GE(length, std::max(longest - 1, 1));
        next = stage.end_layer;
        previous = length;
      }
      ASSERT_EQ(next, num_layers);
    }
  }
}

TEST(VisionStages, WithoutLimitAreOne) {
  for (const int most : {0, -1, 63, 64, std::numeric_limits<int>::max()}) {
    const std::vector<VisionStage> stages = vision_stages(63, most);
    ASSERT_EQ(stages.size(), 1U);
    EXPECT_EQ(stages[0].first_layer, 0);
    EXPECT_EQ(stages[0].end_layer, 63);
  }
  EXPECT_TRUE(vision_stages(0, 8).empty());
}

}  // namespace
}  // namespace cardloom
