#include "cardloom/models/glm4v/config.h"

#include <gtest/gtest.h>

#include <random>

#include "cardloom/weights/test_support.h"

namespace cardloom::glm4v {
namespace {

using testing_support::read_bytes;
using testing_support::replaced;
using testing_support::TemporaryFolder;
using testing_support::write_bytes;

const std::string kSource = CARDLOOM_SOURCE_DIR;

std::string tiny() { return read_bytes(kSource + "/tests/golden/tiny/ckpt/config.json"); }
std::string chat() { return read_bytes(kSource + "/tests/configs/glm-4-9b-chat.json"); }

/// The error for the tiny config with one edit.
Error error_after(const std::string& from, const std::string& to) {
  const Result<Glm4vConfig> config = parse_config(replaced(tiny(), from, to), "c");
  return config ? make_error(ErrorCode::kInternal, "no error: " + from + " -> " + to)
                : config.error();
}

TEST(Glm4vConfig, ReadsGlm4v9b) {
  const Result<Glm4vConfig> config =
      parse_config(read_bytes(kSource + "/tests/configs/glm-4v-9b.json"), "c");
  ASSERT_TRUE(config) << config.error().describe();
  EXPECT_EQ(config->hidden_size, 4096);
  EXPECT_EQ(config->intermediate_size, 13696);
  EXPECT_EQ(config->num_layers, 40);
  EXPECT_EQ(config->num_heads, 32);
  EXPECT_EQ(config->num_kv_heads, 2);
  EXPECT_EQ(config->head_dim, 128);
  EXPECT_EQ(config->rotary_dim, 64);
  EXPECT_EQ(config->vocab_size, 151552);
  EXPECT_EQ(config->max_positions, 8192);
  EXPECT_EQ(config->rms_norm_eps, 1.5625e-07);
  EXPECT_EQ(config->rope_theta, 10000);  // no rope_ratio in this file: 1, not 500
  EXPECT_EQ(config->eos_token_ids, (std::vector<std::int32_t>{151329, 151336, 151338}));
  EXPECT_EQ(config->pad_token_id, 151329);
  EXPECT_EQ(config->boi_token_id, 151339);
  EXPECT_EQ(config->eoi_token_id, 151340);
  EXPECT_FALSE(config->tie_word_embeddings);
  EXPECT_EQ(config->torch_dtype, DType::kBF16);
  EXPECT_EQ(config->qkv_features(), 4608);
  ASSERT_TRUE(config->vision);
  const VisionConfig& vision = *config->vision;
  EXPECT_EQ(vision.hidden_size, 1792);
  EXPECT_EQ(vision.intermediate_size, 15360);
  EXPECT_EQ(vision.num_layers, 63);
  EXPECT_EQ(vision.num_heads, 16);
  EXPECT_EQ(vision.head_dim, 112);
  EXPECT_EQ(vision.in_channels, 3);
  EXPECT_EQ(vision.image_size, 1120);
  EXPECT_EQ(vision.patch_size, 14);
  EXPECT_EQ(vision.num_positions, 6401);
  EXPECT_EQ(vision.layer_norm_eps, 1e-6);
  EXPECT_EQ(vision.scaling_factor, 8);
  EXPECT_EQ(vision.grid(), 80);
  EXPECT_EQ(vision.rows_per_image(), 1602);
}

TEST(Glm4vConfig, ReadsGlm49bChat) {
  const Result<Glm4vConfig> config = parse_config(chat(), "c");
  ASSERT_TRUE(config) << config.error().describe();
  EXPECT_FALSE(config->vision);
  EXPECT_EQ(config->rope_theta, 5000000);
  EXPECT_EQ(config->max_positions, 131072);
  EXPECT_EQ(config->boi_token_id, std::nullopt);
}

TEST(Glm4vConfig, AcceptsTheVariantsOfAField) {
  const auto accepted = [](const std::string& from, const std::string& to) {
    Result<Glm4vConfig> config = parse_config(replaced(tiny(), from, to), "c");
    EXPECT_TRUE(config) << config.error().describe();
    return *config;
  };
  EXPECT_EQ(accepted("\"num_layers\": 3", "\"num_hidden_layers\": 5").num_layers, 5);
  EXPECT_EQ(accepted("\"num_layers\": 3", "\"num_layers\": 3, \"num_hidden_layers\": 3").num_layers,
            3);
  EXPECT_EQ(accepted("416,\n    423,\n    425\n  ]", "416]").eos_token_ids,
            std::vector<std::int32_t>{416});
  EXPECT_EQ(accepted("[\n    416,\n    423,\n    425\n  ]", "423").eos_token_ids,
            std::vector<std::int32_t>{423});
  EXPECT_EQ(accepted("\"bfloat16\"", "\"float16\"").torch_dtype, DType::kF16);
  EXPECT_EQ(accepted("\"torch_dtype\": \"bfloat16\"", "\"dtype\": \"float32\"").torch_dtype,
            DType::kF32);
  EXPECT_EQ(accepted("\"pad_token_id\": 416", "\"pad_token_id\": null").pad_token_id, std::nullopt);
  EXPECT_EQ(accepted("\"rmsnorm\": true", "\"rope_ratio\": 2.5").rope_theta, 25000);
  EXPECT_TRUE(accepted("embeddings\": false", "embeddings\": true").tie_word_embeddings);
  EXPECT_EQ(accepted("\"architectures\": [\n    \"ChatGLMModel\"\n  ]",
                     "\"architectures\": [\"ChatGLMForConditionalGeneration\"]")
                .num_layers,
            3);
}

TEST(Glm4vConfig, NamesTheMissingField) {
  for (const char* name :
       {"hidden_size", "ffn_hidden_size", "num_layers", "num_attention_heads", "kv_channels",
        "multi_query_group_num", "padded_vocab_size", "seq_length", "layernorm_epsilon",
        "eos_token_id", "model_type", "boi_token_id", "eoi_token_id"}) {
    std::string text = tiny();
    const std::size_t place = text.rfind("\"" + std::string(name) + "\"");
    ASSERT_NE(place, std::string::npos) << name;
    text.insert(place + 1, "x");
    const Result<Glm4vConfig> config = parse_config(text, "a/config.json");
    ASSERT_FALSE(config) << name;
    EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(config.error().message, "a/config.json: field " + std::string(name) + " is missing");
  }
  for (const char* name :
       {"hidden_act", "in_channels", "num_hidden_layers", "hidden_size", "patch_size", "num_heads",
        "intermediate_size", "layer_norm_eps", "num_positions", "image_size", "scaling_factor"}) {
    EXPECT_EQ(error_after("\"" + std::string(name) + "\"", "\"x\"").message,
              "c: field vision_config." + std::string(name) + " is missing");
  }
}

TEST(Glm4vConfig, NamesTheValueThatMakesNoSense) {
  const auto message = [](const std::string& from, const std::string& to) {
    const Error error = error_after(from, to);
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << error.message;
    return error.message;
  };
  const std::string kHidden = "\"hidden_size\": 64";
  const std::string kRange = ", it must be a whole number from 1 to 1048576";
  EXPECT_EQ(message(kHidden, "\"hidden_size\": 0"), "c: field hidden_size is 0" + kRange);
  EXPECT_EQ(message(kHidden, "\"hidden_size\": -64"), "c: field hidden_size is -64" + kRange);
  EXPECT_EQ(message(kHidden, "\"hidden_size\": 99999999999999999999"),
            "c: field hidden_size is 1E20" + kRange);
  EXPECT_EQ(message(kHidden, "\"hidden_size\": 18446744073709551615"),
            "c: field hidden_size is 18446744073709551615" + kRange);
  EXPECT_EQ(message(kHidden, "\"hidden_size\": \"64\""), "c: field hidden_size is \"64\"" + kRange);
  EXPECT_EQ(message(kHidden, "\"hidden_size\": 64.5"), "c: field hidden_size is 6.45E1" + kRange);
  EXPECT_EQ(message("\"padded_vocab_size\": 448", "\"padded_vocab_size\": 20000000"),
            "c: field padded_vocab_size is 20000000, it must be a whole number from 1 to 16777216");
  EXPECT_EQ(message("\"rmsnorm\": true", "\"rmsnorm\": 1"),
            "c: field rmsnorm is 1, it must be true or false");
  EXPECT_EQ(message("\"torch_dtype\": \"bfloat16\"", "\"torch_dtype\": 16"),
            "c: field torch_dtype is 16, it must be a string");
  EXPECT_EQ(message("\"layernorm_epsilon\": 1.5625e-07", "\"layernorm_epsilon\": 0"),
            "c: field layernorm_epsilon is 0, it must be a number from 1e-12 to 1");
  EXPECT_EQ(
      message("\"layernorm_epsilon\": 1.5625e-07", "\"layernorm_epsilon\": 1e999").substr(0, 1),
      "c");
  EXPECT_EQ(message("    425\n", "    448\n"),
            "c: field eos_token_id is 448, it must be a token id from 0 to 447");
  EXPECT_EQ(message("\"boi_token_id\": 426", "\"boi_token_id\": -1"),
            "c: field boi_token_id is -1, it must be a token id from 0 to 447");
  EXPECT_EQ(message("\"boi_token_id\": 426", "\"boi_token_id\": 427"),
            "c: boi_token_id and eoi_token_id are both 427: the end of a picture could not be told "
            "from its beginning");
  EXPECT_EQ(message("\"num_layers\": 3", "\"num_layers\": 3, \"num_hidden_layers\": 4"),
            "c: num_layers is 3, num_hidden_layers 4: they must be equal");
  EXPECT_EQ(message("\"multi_query_group_num\": 2", "\"multi_query_group_num\": 3"),
            "c: num_attention_heads 4 is not a multiple of multi_query_group_num 3");
  EXPECT_EQ(message("\"kv_channels\": 16", "\"kv_channels\": 18"),
            "c: kv_channels is 18, it must be a multiple of 4: half a head is rotated, in pairs");
  EXPECT_EQ(message("\"kv_channels\": 16", "\"kv_channels\": 1048576"),
            "c: (num_attention_heads 4 + 2 x multi_query_group_num 2) x kv_channels 1048576 is "
            "8388608, more than 1048576");
  EXPECT_EQ(message("\"vision_config\": {", "\"vision_config\": 7, \"x\": {"),
            "c: field vision_config is 7, it must be an object");
}

TEST(Glm4vConfig, NamesTheVisionSizesThatDoNotFit) {
  EXPECT_EQ(error_after("\"image_size\": 56", "\"image_size\": 57").message,
            "c: vision_config: image_size 57 is not a multiple of patch_size 14");
  EXPECT_EQ(
      error_after("\"image_size\": 56", "\"image_size\": 42").message,
      "c: vision_config: image_size 42 has 3 patches of 14 a side; it must be an even number, "
      "since 2 x 2 patches become one row");
  EXPECT_EQ(error_after("\"num_positions\": 17", "\"num_positions\": 16").message,
            "c: vision_config: num_positions is 16, 16 patches and the class token make 17");
  EXPECT_EQ(error_after("\"num_heads\": 4", "\"num_heads\": 5").message,
            "c: vision_config: hidden_size 48 is not a multiple of num_heads 5");
  EXPECT_EQ(error_after("\"patch_size\": 14", "\"patch_size\": 0").message,
            "c: field vision_config.patch_size is 0, it must be a whole number from 1 to 512");
}

TEST(Glm4vConfig, RefusesByNameWhatIsNotImplemented) {
  const auto message = [](const std::string& from, const std::string& to) {
    const Error error = error_after(from, to);
    EXPECT_EQ(error.code, ErrorCode::kUnimplemented) << error.message;
    EXPECT_FALSE(error.remedy.empty());
    return error.message;
  };
  const std::string kType = "\"model_type\": \"chatglm\"";
  EXPECT_EQ(message(kType, "\"model_type\": \"llama\""),
            "c: model_type \"llama\" is not supported");
  EXPECT_NE(error_after(kType, "\"model_type\": \"llama\"").detail.find("THUDM/glm-4v-9b"),
            std::string::npos);
  EXPECT_EQ(message(kType, "\"model_type\": \"glm4v\""),
            "c: model_type \"glm4v\" is not supported");
  EXPECT_NE(
      error_after(kType, "\"model_type\": \"glm4v\"").detail.find("GLM-4.1V, a different model"),
      std::string::npos);
  EXPECT_EQ(message(kType, "\"model_type\": \"glm\""), "c: model_type \"glm\" is not supported");
  EXPECT_NE(error_after(kType, "\"model_type\": \"glm\"").detail.find("-hf"), std::string::npos);
  EXPECT_EQ(message("\"ChatGLMModel\"", "\"ChatGLMForSequenceClassification\""),
            "c: architecture \"ChatGLMForSequenceClassification\" is not supported");
  EXPECT_EQ(message("\"rmsnorm\": true", "\"rmsnorm\": false"),
            "c: field rmsnorm is false, only true is supported");
  EXPECT_EQ(message("\"post_layer_norm\": true", "\"post_layer_norm\": false"),
            "c: field post_layer_norm is false, only true is supported");
  EXPECT_EQ(message("post_layernorm\": false", "post_layernorm\": true"),
            "c: field apply_residual_connection_post_layernorm is true, only false is supported");
  EXPECT_EQ(message("\"add_bias_linear\": false", "\"add_bias_linear\": true"),
            "c: field add_bias_linear is true, only false is supported");
  EXPECT_EQ(message("\"add_qkv_bias\": true", "\"add_qkv_bias\": false"),
            "c: field add_qkv_bias is false, only true is supported");
  EXPECT_EQ(message("\"original_rope\": true", "\"original_rope\": false"),
            "c: field original_rope is false, only true is supported");
  EXPECT_EQ(message("\"fp32_residual_connection\": false", "\"fp32_residual_connection\": true"),
            "c: field fp32_residual_connection is true, only false is supported");
  EXPECT_EQ(message("\"multi_query_attention\": true", "\"x\": true"),
            "c: field multi_query_attention is false, only true is supported");
  EXPECT_EQ(
      message("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"gelu_new\""),
      "c: field vision_config.hidden_act is \"gelu_new\", only \"gelu\" (exact) is supported");
  EXPECT_EQ(message("\"in_channels\": 3", "\"in_channels\": 1"),
            "c: field vision_config.in_channels is 1, only 3 (RGB) is supported");
  EXPECT_EQ(message("\"bfloat16\"", "\"int4\""),
            "c: field torch_dtype is \"int4\", which is not supported");
  EXPECT_EQ(message("\"rmsnorm\": true", "\"rmsnorm\": true, \"quantization_bit\": 4"),
            "c: quantised checkpoints are not supported");
  EXPECT_EQ(message("\"rmsnorm\": true", "\"rmsnorm\": true, \"pre_seq_len\": 128"),
            "c: field pre_seq_len: prefix tuning is not supported");
}

TEST(Glm4vConfig, ReadsFoldersAndSaysWhatIsNotThere) {
  EXPECT_TRUE(read_config(kSource + "/tests/golden/tiny/ckpt"));
  const TemporaryFolder folder;
  const Result<Glm4vConfig> none = read_config(folder.path());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(none.error().message, "cannot open " + folder.file("config.json"));
  write_bytes(folder.file("config.json"), "[1]");
  EXPECT_EQ(read_config(folder.path()).error().message,
            folder.file("config.json") + ": it must be a JSON object");
  write_bytes(folder.file("config.json"), std::string((1 << 20) + 1, ' '));
  EXPECT_EQ(read_config(folder.path()).error().code, ErrorCode::kResourceExhausted);
}

TEST(Glm4vConfig, SurvivesDamageAnywhere) {
  const std::string good = tiny();
  std::mt19937 random(7);
  const std::string pieces[] = {"0", "-", "9", "1e9", "null", "\"", "[", "}", "4294967296", ","};
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (int change = 0; change < 2; ++change) {
      const std::string& piece = pieces[random() % std::size(pieces)];
      text.replace(random() % text.size(), random() % 3, piece);
    }
    const Result<Glm4vConfig> config = parse_config(text, "c");
    if (config) {
      EXPECT_GT(config->qkv_features(), 0);
    } else {
      EXPECT_FALSE(config.error().message.empty());
    }
  }
}

TEST(GenerationConfig, IsReadOrLeftAtItsDefaults) {
  const Result<GenerationConfig> read = read_generation_config(kSource + "/tests/golden/tiny/ckpt");
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(read->eos_token_ids, (std::vector<std::int32_t>{416, 423, 425}));
  EXPECT_TRUE(read->do_sample);
  EXPECT_EQ(read->temperature, 0.8);
  EXPECT_EQ(read->top_p, 0.8);
  EXPECT_EQ(read->top_k, std::nullopt);
  EXPECT_EQ(read->max_length, 2048);
  const TemporaryFolder folder;
  const Result<GenerationConfig> absent = read_generation_config(folder.path());
  ASSERT_TRUE(absent);
  EXPECT_FALSE(absent->do_sample);
  EXPECT_TRUE(absent->eos_token_ids.empty());
  write_bytes(folder.file("generation_config.json"), R"({"temperature": -1})");
  EXPECT_EQ(read_generation_config(folder.path()).error().message,
            folder.file("generation_config.json") +
                ": field temperature is -1, it must be a number from 0 to 100");
  EXPECT_FALSE(parse_generation_config("{\"top_p\": 1.5}", "g"));
  EXPECT_FALSE(parse_generation_config("{\"eos_token_id\": \"a\"}", "g"));
  EXPECT_FALSE(parse_generation_config("7", "g"));
}

}  // namespace
}  // namespace cardloom::glm4v
