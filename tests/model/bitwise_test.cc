// Promise 1: the same bits for every number of cards, prompt chunk and cut of the vision half.
#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace cardloom::testing {
namespace {

constexpr VisionCut kCuts[] = {VisionCut::kHeads, VisionCut::kPictures, VisionCut::kAuto};

class BitwiseTest : public ::testing::TestWithParam<DType> {
 protected:
  Golden golden_{"tiny"};
  ModelUnderTest one_card_{golden_.open(), {.tp = 1, .dtype = GetParam()}};

  std::vector<TensorView> pictures(std::size_t count) const {
    std::vector<TensorView> views;
    for (const std::string& name : golden_.pictures()) views.push_back(golden_.pixel_values(name));
    for (std::size_t next = 0; views.size() < count; ++next) views.push_back(views[next]);
    views.resize(count);
    return views;
  }

  /// Two pictures in one conversation: case 7 with case 5's turn behind it.
  TestPrompt two_pictures(const TensorView& first, const TensorView& second) const {
    TestPrompt prompt = golden_.prompt(7, first);
    const TestPrompt behind = golden_.prompt(5, second);
    for (const PromptPicture& picture : behind.pictures) {
      prompt.pictures.push_back(
          {picture.first_row + static_cast<std::int64_t>(prompt.ids.size()), picture.embeds});
    }
    for (std::size_t row = 0; row < behind.ids.size(); ++row) {
      prompt.ids.push_back(behind.ids[row]);
      prompt.positions.push_back(prompt.next_position + behind.positions[row]);
    }
    prompt.next_position += behind.next_position;
    return prompt;
  }
};

TEST_P(BitwiseTest, PicturesDoNotDependOnCardsOrCut) {
  // 11 pictures: on 8 cards one full round and one of 3, on 3 cards three and one of 2.
  const std::vector<TensorView> pictures = this->pictures(11);
  const std::vector<Tensor> expected = one_card_.encode(pictures);
  for (int tp = 2; tp <= 8; ++tp) {
    ModelUnderTest cards(golden_.open(), {.tp = tp, .dtype = GetParam()});
    for (const VisionCut cut : kCuts) {
      const std::vector<Tensor> embeds = cards.encode(pictures, cut);
      for (std::size_t picture = 0; picture < pictures.size(); ++picture) {
        EXPECT_TRUE(same_bits(embeds[picture], expected[picture]))
            << "tp " << tp << ", cut " << static_cast<int>(cut) << ", picture " << picture;
      }
    }
  }
}

TEST_P(BitwiseTest, FewerPicturesThanCards) {
  const std::vector<TensorView> pictures = this->pictures(2);
  const std::vector<Tensor> expected = one_card_.encode(pictures);
  ModelUnderTest cards(golden_.open(), {.tp = 5, .dtype = GetParam()});
  for (const VisionCut cut : {VisionCut::kHeads, VisionCut::kPictures}) {
    const std::vector<Tensor> embeds = cards.encode(pictures, cut);
    for (std::size_t picture = 0; picture < 2; ++picture) {
      EXPECT_TRUE(same_bits(embeds[picture], expected[picture]));
    }
  }
}

TEST_P(BitwiseTest, PicturesDoNotDependOnStages) {
  const std::vector<TensorView> pictures = this->pictures(5);
  const std::vector<Tensor> expected = one_card_.encode(pictures);
  for (const int tp : {1, 2, 3, 8}) {
    ModelUnderTest cards(golden_.open(), {.tp = tp, .dtype = GetParam()});
    for (const VisionCut cut : kCuts) {
      const std::vector<Tensor> embeds = cards.encode(pictures, cut, nullptr, {1});
      for (std::size_t picture = 0; picture < pictures.size(); ++picture) {
        EXPECT_TRUE(same_bits(embeds[picture], expected[picture]))
            << "tp " << tp << ", cut " << static_cast<int>(cut) << ", picture " << picture;
      }
    }
  }
}

/// A tower of four layers: every way to part it.
TEST_P(BitwiseTest, AnyPartingOfLayersGivesTheSameBits) {
  const auto nano = [] {
    return open_model(CARDLOOM_SOURCE_DIR "/demo/glm-4v-nano").value_or_throw();
  };
  std::vector<Tensor> pixels;
  for (int picture = 0; picture < 3; ++picture) {
    pixels.emplace_back(Tensor(DType::kF32, {3, 112, 112}));
    std::uint32_t state = static_cast<std::uint32_t>(picture) + 1;
    for (std::int64_t index = 0; index < pixels.back().view().num_elements(); ++index) {
      state = state * 1664525U + 1013904223U;
      pixels.back().view().at<float>()[index] = static_cast<float>(state >> 8) * 0x1p-23F - 1;
    }
  }
  const std::vector<TensorView> pictures(pixels.begin(), pixels.end());
  ModelUnderTest one(nano(), {.tp = 1, .dtype = GetParam()});
  ModelUnderTest two(nano(), {.tp = 2, .dtype = GetParam()});
  ASSERT_EQ(one.model(0).info().num_vision_layers, 4);
  const std::vector<Tensor> expected = one.encode(pictures);
  for (unsigned parted = 0; parted < 8; ++parted) {
    std::vector<int> borders;
    for (int layer = 1; layer < 4; ++layer) {
      if ((parted >> (layer - 1) & 1) != 0) borders.push_back(layer);
    }
    for (const VisionCut cut : {VisionCut::kHeads, VisionCut::kPictures}) {
      const std::vector<Tensor> alone = one.encode(pictures, cut, nullptr, borders);
      const std::vector<Tensor> both = two.encode(pictures, cut, nullptr, borders);
      for (std::size_t picture = 0; picture < pictures.size(); ++picture) {
        EXPECT_TRUE(same_bits(alone[picture], expected[picture])) << parted;
        EXPECT_TRUE(same_bits(both[picture], expected[picture])) << parted;
      }
    }
  }
}

TEST_P(BitwiseTest, LogitsDoNotDependOnCardsOrChunks) {
  const std::vector<Tensor> embeds = one_card_.encode(pictures(2));
  const TestPrompt prompt = two_pictures(embeds[0], embeds[1]);
  const Tensor expected = one_card_.prompt_logits(prompt);
  const Tensor next = one_card_.next_logits(65, prompt.next_position);
  for (int tp = 1; tp <= 8; ++tp) {
    ModelUnderTest cards(golden_.open(), {.tp = tp, .dtype = GetParam(), .block_size = 32});
    for (const std::int64_t chunk : {0, 1, 7, 64}) {
      EXPECT_TRUE(same_bits(cards.prompt_logits(prompt, chunk), expected))
          << "tp " << tp << ", chunk " << chunk;
      EXPECT_TRUE(same_bits(cards.next_logits(65, prompt.next_position), next))
          << "tp " << tp << ", chunk " << chunk;
    }
  }
}

TEST_P(BitwiseTest, OnEveryInstructionPath) {
  for (const cpu::Isa isa : cpu::supported_isas()) {
    ModelUnderTest one(golden_.open(), {.tp = 1, .dtype = GetParam(), .isa = isa});
    ModelUnderTest three(golden_.open(), {.tp = 3, .dtype = GetParam(), .isa = isa});
    const std::vector<Tensor> embeds = one.encode(pictures(2));
    EXPECT_TRUE(same_bits(three.encode(pictures(2), VisionCut::kPictures)[1], embeds[1]));
    const TestPrompt prompt = two_pictures(embeds[0], embeds[1]);
    EXPECT_TRUE(same_bits(three.prompt_logits(prompt, 7), one.prompt_logits(prompt)))
        << to_string(isa);
  }
}

TEST_P(BitwiseTest, LongPromptInChunks) {
  const TestPrompt prompt = golden_.prompt(4);  // 555 rows
  const Tensor expected = one_card_.prompt_logits(prompt);
  ModelUnderTest cards(golden_.open(), {.tp = 3, .dtype = GetParam()});
  for (const std::int64_t chunk : {0, 64, 97}) {
    EXPECT_TRUE(same_bits(cards.prompt_logits(prompt, chunk), expected)) << chunk;
  }
}

TEST_P(BitwiseTest, ATraceChangesNothing) {
  const std::vector<Tensor> embeds = one_card_.encode(pictures(2));
  const TestPrompt prompt = two_pictures(embeds[0], embeds[1]);
  const Tensor expected = one_card_.prompt_logits(prompt);
  ModelUnderTest cards(golden_.open(), {.tp = 2, .dtype = GetParam()});
  Trace trace;
  const std::vector<Tensor> traced = cards.encode(pictures(2), VisionCut::kHeads, &trace);
  EXPECT_TRUE(same_bits(traced[1], embeds[1]));
  EXPECT_TRUE(same_bits(cards.prompt_logits(prompt, 7, &trace), expected));
  // Chunks follow one another; pictures are numbered.
  const auto rows = static_cast<std::int64_t>(prompt.ids.size());
  EXPECT_EQ(trace.rows("text.final").view().shape[0], rows);
  EXPECT_EQ(trace.rows("text.layer.2").view().shape[0], rows);
  EXPECT_EQ(trace.rows("vision.embed").view().shape[0], 17);
  EXPECT_EQ(trace.rows("vision.layer.1.1").view().shape[0], 17);
  EXPECT_EQ(trace.rows("vision.conv.1").view().shape[0], 4);
  // Stages change no name: the third picture is number 2 in all of them.
  static_cast<void>(cards.encode(pictures(2), VisionCut::kHeads, &trace, {1}));
  for (const char* name : {"vision.embed.2", "vision.layer.0.3", "vision.layer.1.2"}) {
    EXPECT_EQ(trace.rows(name).view().shape[0], 17) << name;
  }
  EXPECT_EQ(trace.rows("vision.conv.3").view().shape[0], 4);
}

/// bf16 cannot decide between variants of the maths, but it must be near: the oracle's own
/// bf16 runs differ by up to 0.5 on logits of size 7.
TEST(Bf16Test, IsNearTheOracle) {
  const Golden golden("tiny");
  ModelUnderTest model(golden.open(), {.tp = 2, .dtype = DType::kBF16});
  const std::vector<Tensor> embeds = model.encode({golden.pixel_values("wide")});
  Tensor exact(DType::kF32, {embeds[0].view().shape[0], embeds[0].view().shape[1]});
  for (std::int64_t index = 0; index < exact.view().num_elements(); ++index) {
    exact.view().at<float>()[index] = to_f32(embeds[0].view().at<bf16>()[index]);
  }
  EXPECT_LE(max_difference(exact, golden.tensor("vision.wide")), 0.005);
  const Tensor logits = model.prompt_logits(golden.prompt(5, embeds[0]));
  EXPECT_LE(max_difference(logits, golden.tensor("logits.5")), 0.5);
}

INSTANTIATE_TEST_SUITE_P(DTypes, BitwiseTest, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace cardloom::testing
