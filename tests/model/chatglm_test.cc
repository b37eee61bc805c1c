// The text block against the original code: outputs that chatglm.cpp's authors made with the real
// modeling_chatglm.py at toy size (tests/golden/chatglm, MIT).
#include <gtest/gtest.h>

#include <cstring>

#include "cardloom/models/glm4v/weight_names.h"
#include "tests/support/checkpoint.h"
#include "tests/support/golden.h"

namespace cardloom::testing {
namespace {

namespace names = glm4v::names;

constexpr std::int64_t kHidden = 32;
constexpr std::int64_t kVocabulary = 5;
constexpr std::int64_t kQkv = (8 + 2 * 2) * 4;
constexpr std::int64_t kIntermediate = 48;

/// The file is raw numbers, one after another: the weights of one layer, then three steps, each
/// token ids (i32) and the final norm's output (f32).
class Reader {
 public:
  explicit Reader(std::string bytes) : bytes_(std::move(bytes)) {}

  TensorView take(DType dtype, std::initializer_list<std::int64_t> shape) {
    const TensorView view = make_view(bytes_.data() + offset_, dtype, shape);
    offset_ += static_cast<std::size_t>(view.num_elements() * size_of(dtype));
    EXPECT_LE(offset_, bytes_.size());
    return view;
  }
  [[nodiscard]] bool at_end() const { return offset_ == bytes_.size(); }

 private:
  std::string bytes_;
  std::size_t offset_ = 0;
};

std::map<std::string, TensorView> take_weights(Reader& reader) {
  const auto take = [&reader](std::initializer_list<std::int64_t> shape) {
    return reader.take(DType::kF32, shape);
  };
  std::map<std::string, TensorView> weights;
  weights[names::kWordEmbeddings] = take({kVocabulary, kHidden});
  weights[names::text_layer(0, names::kInputNorm)] = take({kHidden});
  weights[names::text_layer(0, names::kQkvWeight)] = take({kQkv, kHidden});
  weights[names::text_layer(0, names::kQkvBias)] = take({kQkv});
  weights[names::text_layer(0, names::kO)] = take({kHidden, kHidden});
  weights[names::text_layer(0, names::kPostNorm)] = take({kHidden});
  weights[names::text_layer(0, names::kGateUp)] = take({2 * kIntermediate, kHidden});
  weights[names::text_layer(0, names::kDown)] = take({kHidden, kIntermediate});
  weights[names::kFinalNorm] = take({kHidden});
  return weights;
}

json::object toy_config() {
  json::object config =
      read_json_object(std::string(CARDLOOM_SOURCE_DIR) + "/tests/golden/tiny/ckpt/config.json");
  for (const char* name : {"vision_config", "boi_token_id", "eoi_token_id"}) config.erase(name);
  config["hidden_size"] = kHidden;
  config["num_layers"] = 1;
  config["num_attention_heads"] = 8;
  config["multi_query_group_num"] = 2;
  config["kv_channels"] = 4;
  config["ffn_hidden_size"] = kIntermediate;
  config["padded_vocab_size"] = kVocabulary;
  config["seq_length"] = 64;
  config["eos_token_id"] = json::array{4};
  config["pad_token_id"] = 4;
  return config;
}

class ChatglmTest : public ::testing::TestWithParam<int> {};

TEST_P(ChatglmTest, PrefillAndTwoDecodeSteps) {
  Reader reader(testing_support::read_bytes(std::string(CARDLOOM_SOURCE_DIR) +
                                            "/tests/golden/chatglm/glm4_model.data"));
  std::map<std::string, TensorView> weights = take_weights(reader);
  const Tensor no_lm_head(DType::kF32, {kVocabulary, kHidden});  // the file has none
  weights[names::kOutputLayer] = no_lm_head;
  const TestCheckpoint checkpoint(toy_config(), weights);
  const LoadedModelDirectory directory = open_model(checkpoint.path()).value_or_throw();
  EXPECT_EQ(directory.architecture, "glm-4");
  ModelUnderTest model(directory, {.tp = GetParam(), .dtype = DType::kF32, .max_rows = 64});

  std::int32_t position = 0;
  for (const std::int64_t rows : {3, 1, 1}) {
    const TensorView ids = reader.take(DType::kI32, {rows});
    const TensorView expected = reader.take(DType::kF32, {rows, kHidden});
    Trace trace;
    if (position == 0) {
      const TestPrompt prompt{.ids = {ids.at<std::int32_t>(), ids.at<std::int32_t>() + rows},
                              .positions = {0, 1, 2},
                              .next_position = 3,
                              .pictures = {}};
      static_cast<void>(model.prompt_logits(prompt, 0, &trace));
    } else {
      static_cast<void>(model.next_logits(*ids.at<std::int32_t>(), position, &trace));
    }
    EXPECT_LE(max_difference(trace.rows("text.final"), expected), 1e-6);
    position += static_cast<std::int32_t>(rows);
  }
  EXPECT_TRUE(reader.at_end());
}

INSTANTIATE_TEST_SUITE_P(Cards, ChatglmTest, ::testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace cardloom::testing
