// Loading: checkpoints of every dtype, text models, and what is wrong with a checkpoint, by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "cardloom/layers/linear.h"
#include "cardloom/models/glm4v/vision_view.h"
#include "cardloom/models/glm4v/weight_names.h"
#include "cardloom/models/glm4v/weights.h"
#include "tests/support/card.h"
#include "tests/support/checkpoint.h"
#include "tests/support/golden.h"

namespace cardloom::testing {
namespace {

using ::testing::HasSubstr;
namespace names = glm4v::names;

class LoadingTest : public ::testing::Test {
 protected:
  std::string folder_ = std::string(CARDLOOM_SOURCE_DIR) + "/tests/golden/tiny/ckpt";
  json::object config_ = read_json_object(folder_ + "/config.json");
  WeightStore store_ = WeightStore::open(folder_).value_or_throw();
  std::map<std::string, TensorView> tensors_ = all_tensors(store_);

  static LoadedModelDirectory open(const TestCheckpoint& checkpoint) {
    return open_model(checkpoint.path()).value_or_throw();
  }
  /// The error of loading `tensors` with `config`.
  std::string load_error(const std::map<std::string, TensorView>& tensors) {
    const TestCheckpoint checkpoint(config_, tensors);
    return message_of([&] { ModelUnderTest(open(checkpoint), {.tp = 2}); });
  }
};

/// The same numbers in another dtype of ours.
std::map<std::string, TensorView> convert(const std::map<std::string, TensorView>& from,
                                          DType dtype, std::vector<Tensor>& memory) {
  std::map<std::string, TensorView> to;
  for (const auto& [name, view] : from) {
    const Tensor exact = make_f32_vector(view);
    memory.emplace_back(Tensor(dtype, {view.num_elements()}));
    for (std::int64_t index = 0; index < view.num_elements(); ++index) {
      const float value = exact.view().at<float>()[index];
      if (dtype == DType::kF16) memory.back().view().at<f16>()[index] = to_f16(value);
      if (dtype == DType::kF32) memory.back().view().at<float>()[index] = value;
    }
    to[name] = memory.back().view();
    to[name].rank = view.rank;
    std::copy(view.shape, view.shape + TensorView::kMaxRank, to[name].shape);
    std::copy(view.stride, view.stride + TensorView::kMaxRank, to[name].stride);
  }
  return to;
}

TEST_F(LoadingTest, F16CheckpointsGiveWhatTheirNumbersGive) {
  const Golden golden("tiny");
  std::vector<Tensor> memory;
  const std::map<std::string, TensorView> half = convert(tensors_, DType::kF16, memory);
  const std::map<std::string, TensorView> same = convert(half, DType::kF32, memory);
  const TestCheckpoint f16_checkpoint(config_, half);
  const TestCheckpoint f32_checkpoint(config_, same);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    ModelUnderTest f16_model(open(f16_checkpoint), {.tp = 3, .dtype = dtype});
    ModelUnderTest f32_model(open(f32_checkpoint), {.tp = 1, .dtype = dtype});
    const std::vector<Tensor> embeds = f16_model.encode({golden.pixel_values("grey")});
    EXPECT_TRUE(same_bits(embeds[0], f32_model.encode({golden.pixel_values("grey")})[0]));
    const TestPrompt prompt = golden.prompt(6, embeds[0]);
    EXPECT_TRUE(same_bits(f16_model.prompt_logits(prompt), f32_model.prompt_logits(prompt)));
  }
}

TEST_F(LoadingTest, TextModelThroughTheSameCode) {
  for (const char* name : {"vision_config", "boi_token_id", "eoi_token_id"}) config_.erase(name);
  std::map<std::string, TensorView> text;
  for (const auto& [name, view] : tensors_) {
    if (name.find(".vision.") == std::string::npos) text[name] = view;
  }
  const TestCheckpoint checkpoint(config_, text);
  const LoadedModelDirectory directory = open(checkpoint);
  EXPECT_EQ(directory.architecture, "glm-4");
  ModelUnderTest model(directory, {.tp = 2});
  EXPECT_EQ(model.model(0).info().architecture, "glm-4");
  EXPECT_EQ(model.model(0).info().image_rows, 0);
  EXPECT_EQ(model.model(0).encode_workspace_bytes(3), 0);
  const Golden golden("tiny");
  EXPECT_LE(max_difference(model.prompt_logits(golden.prompt(0)), golden.tensor("logits.0")),
            golden.tolerance("logits"));

  EXPECT_EQ(message_of([&] { static_cast<void>(model.encode({golden.pixel_values("wide")})); }),
            "glm-4 is a text model and takes no pictures");
  const Tensor embeds(DType::kF32, {6, 64});
  EXPECT_EQ(message_of([&] { static_cast<void>(model.prompt_logits(golden.prompt(5, embeds))); }),
            "glm-4 is a text model and takes no pictures");
  // And it goes on.
  EXPECT_LE(max_difference(model.prompt_logits(golden.prompt(0)), golden.tensor("logits.0")),
            golden.tolerance("logits"));
}

TEST_F(LoadingTest, NamesTheFirstWrongTensor) {
  std::map<std::string, TensorView> missing = tensors_;
  missing.erase(names::text_layer(1, names::kDown));
  EXPECT_THAT(load_error(missing), HasSubstr(names::text_layer(1, names::kDown)));

  std::map<std::string, TensorView> wrong = tensors_;
  wrong[names::vision_layer(0, names::kVisionFc1Weight)] =
      wrong[names::vision_layer(0, names::kVisionFc1Weight)].slice(0, 0, 79);
  EXPECT_THAT(load_error(wrong), HasSubstr(names::vision_layer(0, names::kVisionFc1Weight)));

  const Tensor integers(DType::kI32, {64});
  std::map<std::string, TensorView> other = tensors_;
  other[names::kFinalNorm] = integers;
  EXPECT_THAT(load_error(other), HasSubstr(names::kFinalNorm));
}

TEST_F(LoadingTest, RefusesWhatDoesNotWork) {
  const LoadedModelDirectory directory = open_model(folder_).value_or_throw();
  EXPECT_THAT(message_of([&] { ModelUnderTest(directory, {.tp = 1, .dtype = DType::kF16}); }),
              HasSubstr("dtype is f16"));
  const glm4v::LoadOptions none;
  EXPECT_THAT(
      message_of([&] { static_cast<void>(glm4v::load_weights(directory.config, store_, none)); }),
      HasSubstr("tp is 0"));
  glm4v::LoadOptions nine;
  nine.devices.resize(9);
  EXPECT_THAT(
      message_of([&] { static_cast<void>(glm4v::load_weights(directory.config, store_, nine)); }),
      HasSubstr("tp is 9"));
  EXPECT_FALSE(open_model(folder_ + "/nothing"));
  LoadedModelDirectory unknown = directory;
  unknown.architecture = "glm-9";
  EXPECT_EQ(message_of([&] { static_cast<void>(load_models(unknown, {})); }),
            "there is no architecture glm-9");
}

TEST_F(LoadingTest, ReportsProgressToTheEnd) {
  const LoadedModelDirectory directory = open_model(folder_).value_or_throw();
  for (const int tp : {1, 3, 8}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      std::int64_t last = 0;
      std::int64_t whole = 0;
      bool ascending = true;
      glm4v::LoadOptions options{.devices = std::vector<DeviceId>(static_cast<std::size_t>(tp)),
                                 .dtype = dtype,
                                 .progress = [&](std::int64_t done, std::int64_t total) {
                                   ascending = ascending && done >= last;
                                   last = done;
                                   whole = total;
                                 }};
      static_cast<void>(glm4v::load_weights(directory.config, store_, options));
      EXPECT_TRUE(ascending);
      EXPECT_EQ(last, whole) << "tp " << tp;  // the plan counts exactly what is loaded
      EXPECT_GT(whole, 0);
    }
  }
}

TEST_F(LoadingTest, AllRanksPiecesMakeTheWholeVisionWeights) {
  const LoadedModelDirectory directory = open_model(folder_).value_or_throw();
  const auto load = [&](std::size_t tp) {
    glm4v::LoadOptions options{.devices = std::vector<DeviceId>(tp), .dtype = DType::kF32};
    return glm4v::load_weights(directory.config, store_, options);
  };
  const std::vector<glm4v::RankWeights> one = load(1);
  const glm4v::VisionView expected = glm4v::view_of_rank(one[0]);
  const auto element = [](const PackedMatrix& matrix, std::int64_t n, std::int64_t k) {
    for (int index = 0; index < matrix.num_pieces; ++index) {
      const PackedPiece& piece = matrix.pieces[index];
      const bool has_n = n >= piece.out_begin && n < piece.out_begin + piece.num_columns;
      if (!has_n || k < piece.k_begin || k >= piece.k_begin + piece.k_count) continue;
      return packed_element(piece, matrix.format, n - piece.out_begin, k - piece.k_begin);
    }
    ADD_FAILURE() << "no piece has " << n << ", " << k;
    return 0.0F;
  };
  const auto expect_same = [&](const PackedMatrix& a, const PackedMatrix& b) {
    ASSERT_EQ(a.N, b.N);
    ASSERT_EQ(a.K, b.K);
    EXPECT_EQ(a.num_leaves, b.num_leaves);
    EXPECT_EQ(a.first_leaf, 0);
    for (std::int64_t n = 0; n < a.N; ++n) {
      for (std::int64_t k = 0; k < a.K; ++k) ASSERT_EQ(element(a, n, k), element(b, n, k));
    }
  };
  for (const std::size_t tp : {2U, 3U, 8U}) {
    const std::vector<glm4v::RankWeights> ranks = load(tp);
    const glm4v::WholeVision joined(ranks);
    const glm4v::VisionView whole = joined.view(static_cast<int>(tp) - 1);
    for (std::size_t layer = 0; layer < expected.tower.layers.size(); ++layer) {
      const glm4v::VisionLayerView& a = whole.tower.layers[layer];
      const glm4v::VisionLayerView& b = expected.tower.layers[layer];
      expect_same(a.qkv.weight, b.qkv.weight);
      expect_same(a.dense.weight, b.dense.weight);
      expect_same(a.fc1.weight, b.fc1.weight);
      expect_same(a.fc2.weight, b.fc2.weight);
      EXPECT_TRUE(same_bits(a.qkv.bias, b.qkv.bias));
      EXPECT_TRUE(same_bits(a.fc1.bias, b.fc1.bias));
      EXPECT_TRUE(same_bits(a.dense.bias, b.dense.bias));
    }
    expect_same(whole.projector.gate_up.weight, expected.projector.gate_up.weight);
    expect_same(whole.projector.down.weight, expected.projector.down.weight);
  }
}

}  // namespace
}  // namespace cardloom::testing
