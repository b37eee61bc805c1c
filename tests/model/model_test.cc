// A model's own rules: workspace, layer paths, layouts without copies, named errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/support/card.h"
#include "tests/support/golden.h"

namespace cardloom::testing {
namespace {

using ::testing::HasSubstr;

class ModelTest : public ::testing::Test {
 protected:
  Golden golden_{"tiny"};
};

/// ModelUnderTest makes workspaces of exactly the estimated size, so one that is too small throws;
/// it also checks that no rank's estimate is over 1.1 times what was used, plus 64 KiB.
TEST_F(ModelTest, WorkspaceIsWhatWasPlanned) {
  std::vector<TensorView> pictures;
  for (const std::string& name : golden_.pictures()) {
    pictures.push_back(golden_.pixel_values(name));
  }
  for (const int tp : {1, 2, 3, 8}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      ModelUnderTest model(golden_.open(), {.tp = tp, .dtype = dtype});
      for (const VisionCut cut : {VisionCut::kHeads, VisionCut::kPictures, VisionCut::kAuto}) {
        static_cast<void>(model.encode(pictures, cut));
        EXPECT_LE(model.peak_bytes(), model.planned_bytes());
      }
      for (const std::int64_t chunk : {0, 1, 33}) {
        static_cast<void>(model.prompt_logits(golden_.prompt(3), chunk));
        EXPECT_LE(model.peak_bytes(), model.planned_bytes());
      }
      static_cast<void>(model.prompt_logits(golden_.prompt(4)));  // 555 rows
    }
  }
}

TEST_F(ModelTest, EveryOperatorHasALayerPath) {
  ModelUnderTest model(golden_.open(), {.tp = 2});
  const std::vector<Tensor> embeds = model.encode({golden_.pixel_values("tall")});
  static_cast<void>(model.prompt_logits(golden_.prompt(6, embeds[0])));
  std::set<std::string> scopes;
  std::set<std::string> sites;
  for (const OpRecord& record : model.log(1).snapshot()) {
    scopes.emplace(model.log(1).scope(record));
    sites.insert(model.log(1).site(record).substr(0, model.log(1).site(record).find(':')));
  }
  const std::set<std::string> expected = {
      "vision",
      "vision.layers.0.attention",
      "vision.layers.0.mlp",
      "vision.layers.1.attention",
      "vision.layers.1.mlp",
      "projector",
      "projector.mlp",
      "embedding",
      "text.layers.0.attention",
      "text.layers.0.mlp",
      "text.layers.1.attention",
      "text.layers.1.mlp",
      "text.layers.2.attention",
      "text.layers.2.mlp",
      "text.final",
      "text.lm_head",
  };
  EXPECT_EQ(scopes, expected);
  // Every call's line is in the model, not in a helper below it.
  const std::string folder = "cardloom/models/glm4v/";
  EXPECT_EQ(sites, (std::set<std::string>{folder + "vision_tower.cc", folder + "projector.cc",
                                          folder + "decoder_layer.cc", folder + "model.cc"}));
}

/// The original failure's view: the attention's output in place in the packed qkv buffer.
TEST_F(ModelTest, OProjectionReadsQkvInPlaceWithoutACopy) {
  ModelUnderTest model(golden_.open(), {.tp = 2});
  static_cast<void>(model.prompt_logits(golden_.prompt(0)));
  int seen = 0;
  for (const OpRecord& record : model.log(0).snapshot()) {
    EXPECT_EQ(record.copies, 0U) << model.log(0).describe(record);
    if (record.op != OpId::kMatmulAllReduce) continue;
    if (model.log(0).scope(record).find("attention") == std::string_view::npos) continue;
    const OperandRecord& x = record.operands[0];
    EXPECT_EQ(x.shape[1], 2 * 16);   // two heads of this rank
    EXPECT_EQ(x.stride[0], 4 * 16);  // between rows also lie its k and v
    ++seen;
  }
  EXPECT_EQ(seen, 3);
}

TEST_F(ModelTest, NamesAPictureOfTheWrongShape) {
  ModelUnderTest model(golden_.open(), {.tp = 2});
  const Tensor small(DType::kF32, {3, 28, 28});
  EXPECT_THAT(message_of([&] { static_cast<void>(model.encode({small.view()})); }),
              HasSubstr("pixel_values is f32[3, 28, 28]"));
  const Tensor bytes(DType::kU8, {3, 56, 56});
  EXPECT_THAT(message_of([&] { static_cast<void>(model.encode({bytes.view()})); }),
              HasSubstr("the model needs f32[3, 56, 56]"));
}

TEST_F(ModelTest, NamesAStageOutsideTheTower) {
  ModelUnderTest model(golden_.open(), {.tp = 2});
  for (const std::vector<int>& borders : {std::vector<int>{3}, {0}, {2}, {-1}}) {
    EXPECT_THAT(message_of([&] {
                  static_cast<void>(model.encode({golden_.pixel_values("tall")}, VisionCut::kHeads,
                                                 nullptr, borders));
                }),
                HasSubstr("of a vision tower of 2"));
  }
}

TEST_F(ModelTest, RefusesRowsOutsideTheStep) {
  ModelUnderTest model(golden_.open(), {.tp = 2});
  TestPrompt prompt = golden_.prompt(0);
  const Tensor too_wide(DType::kF32, {2, 63});
  prompt.pictures.push_back({3, too_wide});
  EXPECT_THAT(message_of([&] { static_cast<void>(model.prompt_logits(prompt)); }),
              HasSubstr("rows of a picture"));
  prompt.pictures.clear();
  prompt.ids[5] = 448;
  EXPECT_THAT(message_of([&] { static_cast<void>(model.prompt_logits(prompt)); }),
              HasSubstr("token id 448"));
  prompt.ids[5] = 0;
  prompt.positions[5] = 2048;
  EXPECT_THAT(message_of([&] { static_cast<void>(model.prompt_logits(prompt)); }),
              HasSubstr("2048"));
  prompt.positions[5] = 5;
  static_cast<void>(model.prompt_logits(prompt));  // and it goes on
}

TEST_F(ModelTest, NoRowsOfLogitsWanted) {
  const LoadedModelDirectory directory = golden_.open();
  Card card(cpu::supported_isas().back());
  const std::vector<std::unique_ptr<Model>> models =
      load_models(directory, {&card.device}, {.dtype = DType::kF32});
  Model& model = *models[0];
  ThreadGroup group(1);
  KvCache cache(3, 4, 16, 2, 16, DType::kF32, {});
  const auto indices = [](DType dtype, std::int64_t count) {  // zeroed, or 0, 1, 2, ..
    Tensor tensor(dtype, {count});
    return tensor;
  };
  const Tensor ids = indices(DType::kI32, 4);
  const Tensor sequences = indices(DType::kI32, 4);
  Tensor positions = indices(DType::kI32, 4);
  Tensor slots = indices(DType::kI64, 4);
  Tensor lens = indices(DType::kI32, 4);
  for (std::int32_t row = 0; row < 4; ++row) {
    *positions.view().at<std::int32_t>(row) = row;
    *slots.view().at<std::int64_t>(row) = row;
    *lens.view().at<std::int32_t>(row) = row + 1;
  }
  const Tensor blocks(DType::kI32, {1, 4});
  Workspace workspace(
      std::max(model.forward_workspace_bytes(4, 3), model.forward_workspace_bytes(4, 4)));
  const auto logits_of = [&](const std::vector<std::int32_t>& wanted) {
    Tensor rows(DType::kI32, {static_cast<std::int64_t>(wanted.size())});
    std::copy(wanted.begin(), wanted.end(), rows.view().at<std::int32_t>());
    Tensor logits(DType::kF32, {rows.view().shape[0], 448});
    const ModelInput input{.token_ids = ids,
                           .positions = positions,
                           .slot_mapping = slots,
                           .token_sequences = sequences,
                           .context_lens = lens,
                           .block_tables = blocks,
                           .logits_rows = rows,
                           .image_rows = {}};
    model.forward({card.stream, group.communicator(0), workspace}, input, cache,
                  {.logits = logits});
    card.stream.synchronize();
    return logits;
  };
  const Tensor all = logits_of({0, 1, 2, 3});
  EXPECT_EQ(logits_of({}).size_bytes(), 0);
  const Tensor some = logits_of({0, 2, 3});  // two runs of neighbours
  EXPECT_TRUE(same_bits(some.view().slice(0, 0, 1), all.view().slice(0, 0, 1)));
  EXPECT_TRUE(same_bits(some.view().slice(0, 1, 3), all.view().slice(0, 2, 4)));
  EXPECT_TRUE(same_bits(logits_of({3}), all.view().slice(0, 3, 4)));  // neighbours: no copies
  EXPECT_TRUE(same_bits(logits_of({1, 2}), all.view().slice(0, 1, 3)));
  EXPECT_THAT(message_of([&] {
                static_cast<void>(logits_of({1, 4}));
              }),
              HasSubstr("logits_rows must ascend and stay below 4 rows"));
}

}  // namespace
}  // namespace cardloom::testing
