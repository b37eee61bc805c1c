// Encoding in stages, with other steps in between, and what a runner refuses.
#include "cardloom/engine/model_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cardloom/engine/vision_stages.h"
#include "tests/engine/history_model.h"

namespace cardloom::testing {
namespace {

using ::testing::HasSubstr;

/// Runners of two ranks, without an engine.
class ModelRunnerTest : public ::testing::Test {
 protected:
  static constexpr int kRanks = 2;
  static constexpr RankLimits kLimits{.num_blocks = 4,
                                      .block_size = 8,
                                      .kv_cache = DType::kF32,
                                      .num_picture_slots = 6,
                                      .max_step_rows = 8,
                                      .max_logits_rows = 1,
                                      .max_pictures = 3};

  ModelRunnerTest() : cards_(make_cards(kRanks)), models_(history_models(control_)(cards_)) {
    for (int rank = 0; rank < kRanks; ++rank) {
      const auto index = static_cast<std::size_t>(rank);
      logits_.emplace_back(Tensor(DType::kF32, {1, kHistoryVocab}));
      runners_.push_back(std::make_unique<ModelRunner>(*cards_.devices[index],
                                                       cards_.communicator(rank), *models_[index],
                                                       kLimits, StreamOptions{}, logits_.back()));
    }
  }

  /// Rank 0's result, with the first error of any rank.
  StepResult run(StepPlan plan) {
    plan.step_id = ++last_step_;
    const auto shared = std::make_shared<const StepPlan>(std::move(plan));
    for (const auto& runner : runners_) runner->post(shared);
    for (const auto& runner : runners_) {
      while (!runner->wait_left(std::chrono::seconds(1))) {
      }
    }
    StepResult all = runners_[0]->take_result();
    for (std::size_t rank = 1; rank < runners_.size(); ++rank) {
      const StepResult result = runners_[rank]->take_result();
      if (!all.error) all.error = result.error;
    }
    if (all.error) cards_.reset();
    return all;
  }

  static StepPlan encode_plan(const std::vector<std::int32_t>& slots, const VisionStage& stage) {
    StepPlan plan;
    plan.vision_stage = stage;
    for (const std::int32_t slot : slots) {
      std::shared_ptr<Tensor> pixels;  // later stages do without
      if (stage.first_layer == 0) {
        pixels = std::make_shared<Tensor>(
            DType::kF32,
            std::initializer_list<std::int64_t>{3, kHistoryImageSize, kHistoryImageSize});
        for (std::int64_t index = 0; index < pixels->view().num_elements(); ++index) {
          pixels->view().at<float>()[index] =
              static_cast<float>(slot) + 0.25F * static_cast<float>(index);
        }
      }
      plan.pictures.push_back({.slot = slot, .pixel_values = pixels, .wants_embeds = true});
    }
    return plan;
  }

  static StepPlan row_plan() {
    StepPlan plan;
    plan.token_ids = {7};
    plan.positions = {0};
    plan.slot_mapping = {0};
    plan.token_sequences = {0};
    plan.context_lens = {1};
    plan.block_tables = {0};
    plan.max_blocks = 1;
    plan.logits_rows = {0};
    return plan;
  }

  static void expect_encoded(const StepResult& result, const std::vector<std::int32_t>& slots) {
    ASSERT_FALSE(result.error) << result.error->describe();
    ASSERT_EQ(result.image_embeds.size(), slots.size());
    const StepPlan plan = encode_plan(slots, {0, kHistoryVisionLayers});
    for (std::size_t picture = 0; picture < slots.size(); ++picture) {
      for (std::int64_t row = 0; row < kHistoryImageRows; ++row) {
        EXPECT_EQ(*result.image_embeds[picture].view().at<float>(row, 0),
                  history_picture_row(*plan.pictures[picture].pixel_values, row));
      }
    }
  }

  void expect_refused(StepPlan plan, const char* message) {
    const StepResult result = run(std::move(plan));
    ASSERT_TRUE(result.error);
    EXPECT_THAT(result.error->message, HasSubstr(message));
    EXPECT_TRUE(result.is_drained);
  }

  std::shared_ptr<HistoryModelControl> control_ = std::make_shared<HistoryModelControl>();
  CardGroup cards_;
  std::vector<std::unique_ptr<Model>> models_;
  std::vector<Tensor> logits_;
  std::vector<std::unique_ptr<ModelRunner>> runners_;
  std::uint32_t last_step_ = 0;
};

TEST_F(ModelRunnerTest, StagesGiveWhatOneStepGives) {
  expect_encoded(run(encode_plan({5, 0, 2}, {0, kHistoryVisionLayers})), {5, 0, 2});
  for (const int layers : {1, 2, 3}) {
    const std::vector<VisionStage> stages = vision_stages(kHistoryVisionLayers, layers);
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
      const StepResult result = run(encode_plan({1, 4, 3}, stages[stage]));
      if (stage + 1 < stages.size()) {
        ASSERT_FALSE(result.error);
        EXPECT_TRUE(result.image_embeds.empty());
        ASSERT_FALSE(run(row_plan()).error) << "rows in between";
      } else {
        expect_encoded(result, {1, 4, 3});
      }
    }
  }
}

TEST_F(ModelRunnerTest, AStageMustGoOnWhereItsPicturesAre) {
  const char* const kNone = "goes on at layer 1 with 2 pictures, but the last stage left 0 at";
  expect_refused(encode_plan({0, 1}, {1, 3}), kNone);
  ASSERT_FALSE(run(encode_plan({0, 1}, {0, 1})).error);
  expect_refused(encode_plan({0, 1}, {2, 3}),
                 "goes on at layer 2 with 2 pictures, but the last "
                 "stage left 2 at layer 1");
  expect_encoded(run(encode_plan({0, 1}, {1, 3})), {0, 1});  // refusals have no effect
  expect_refused(encode_plan({0, 1}, {1, 3}), "left 2 at layer 3");
  for (const std::vector<std::int32_t>& others :
       {std::vector<std::int32_t>{1, 0}, {0}, {0, 1, 2}}) {
    ASSERT_FALSE(run(encode_plan({0, 1}, {0, 1})).error);
    expect_refused(encode_plan(others, {1, 3}), "goes on at layer 1");
  }
  expect_refused(encode_plan({0, 1, 2, 3}, {0, 3}),
                 "a step encodes 4 pictures, but there is room for 3 at once");
}

TEST_F(ModelRunnerTest, AfterAFailedStageTheSetBeginsAgain) {
  ASSERT_FALSE(run(encode_plan({0, 1}, {0, 1})).error);
  control_->fault = {.kind = Fault::Kind::kThrow, .rank = 0, .call = 2, .in_encode = true};
  expect_refused(encode_plan({0, 1}, {1, 2}), "must fit w");
  expect_refused(encode_plan({0, 1}, {1, 2}), "goes on at layer 1");
  expect_encoded(run(encode_plan({0, 1}, {0, 3})), {0, 1});
}

TEST_F(ModelRunnerTest, ThePlanCountsStatesOfPicturesThatHaveASlot) {
  const auto bytes = [&](std::int64_t slots, std::int64_t at_once) {
    RankLimits limits = kLimits;
    limits.num_picture_slots = slots;
    limits.max_pictures = at_once;
    return plan_rank_bytes(*models_[0], limits).pictures;
  };
  const std::int64_t encoded = kHistoryImageRows * 3 * 4;
  const std::int64_t state = kHistoryImageRows * 4;
  EXPECT_EQ(bytes(6, 3), 6 * encoded + 3 * state);
  EXPECT_EQ(bytes(2, 3), 2 * (encoded + state));
  EXPECT_THROW((void)bytes(std::int64_t{1} << 60, 3), Exception);
}

}  // namespace
}  // namespace cardloom::testing
