#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "bench/synth/pool.h"
#include "bench/synth/synth_checkpoint.h"
#include "cardloom/models/glm4v/weight_names.h"
#include "cardloom/models/registry.h"
#include "cardloom/tokenizer/tokenizer.h"
#include "cardloom/weights/weight_store.h"

namespace cardloom::synth {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SynthCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cardloom-synth-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  std::string write(const std::string& name, SynthOptions options) {
    options.out = (folder_ / name).string();
    summary_ = write_checkpoint(nano(), options).value_or_throw();
    return options.out;
  }
  static std::string nano() {
    return read(fs::path(CARDLOOM_SOURCE_DIR) / "demo/glm-4v-nano/config.json");
  }

  fs::path folder_;
  SynthSummary summary_;
};

TEST_F(SynthCheckpoint, IsWholeAndItsTokenizerToo) {
  const std::string path =
      write("a", {.text_layers = 2, .vision_layers = 1, .shard_bytes = 100000});
  EXPECT_GT(summary_.num_shards, 3);
  const LoadedModelDirectory directory = open_model(path).value_or_throw();
  EXPECT_EQ(directory.architecture, "glm-4v");
  EXPECT_EQ(directory.config.num_layers, 2);
  EXPECT_EQ(directory.config.vision->num_layers, 1);
  const WeightStore store = WeightStore::open(path).value_or_throw();
  const Status status = glm4v::check_weights(directory.config, store.index());
  EXPECT_TRUE(status.ok()) << status.error().describe();
  EXPECT_TRUE(glm4v::surplus_tensors(directory.config, store.index()).empty());

  const auto tokenizer = load_tokenizer(path).value_or_throw();
  EXPECT_EQ(tokenizer->special_id("<|begin_of_image|>"), directory.config.boi_token_id);
  EXPECT_EQ(tokenizer->special_id("<|end_of_image|>"), directory.config.eoi_token_id);
  EXPECT_EQ(tokenizer->special_id("<|endoftext|>"), directory.config.pad_token_id);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("hello, 你好")), "hello, 你好");
}

TEST_F(SynthCheckpoint, WithoutVisionIsATextModel) {
  const std::string path = write("a", {.text_layers = 1, .vision_layers = 0});
  const LoadedModelDirectory directory = open_model(path).value_or_throw();
  EXPECT_EQ(directory.architecture, "glm-4");
  const WeightStore store = WeightStore::open(path).value_or_throw();
  EXPECT_TRUE(glm4v::check_weights(directory.config, store.index()).ok());
}

TEST_F(SynthCheckpoint, SameSeedSameBytes) {
  const std::string one = write("a", {.text_layers = 1, .vision_layers = 1, .seed = 7});
  const std::string two = write("b", {.text_layers = 1, .vision_layers = 1, .seed = 7});
  const std::string other = write("c", {.text_layers = 1, .vision_layers = 1, .seed = 8});
  std::int64_t files = 0;
  for (const auto& entry : fs::directory_iterator(one)) {
    const fs::path name = entry.path().filename();
    EXPECT_EQ(read(entry.path()), read(two / name)) << name;
    if (name.extension() == ".safetensors") {
      EXPECT_NE(read(entry.path()), read(other / name)) << name;
    }
    ++files;
  }
  EXPECT_EQ(files, 6);
}

TEST_F(SynthCheckpoint, RefusesLayersThatDoNotWork) {
  for (const SynthOptions& options :
       {SynthOptions{.text_layers = 0}, SynthOptions{.text_layers = 1 << 20},
        SynthOptions{.vision_layers = -1}}) {
    EXPECT_EQ(write_checkpoint(nano(), options).error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(write_checkpoint("{", {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(write_checkpoint("[]", {}).error().code, ErrorCode::kInvalidArgument);
}

TEST(SynthPool, IsNormalAndTheSameEverywhere) {
  const std::vector<float> pool = f32_pool(1, 1 << 18, 0.02F);
  double sum = 0;
  double squares = 0;
  for (const float value : pool) {
    sum += value;
    squares += double{value} * value;
  }
  EXPECT_NEAR(sum / static_cast<double>(pool.size()), 0, 2e-4);
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(pool.size())), 0.02, 2e-4);
  // The first numbers of seed 1: they may never change, or files of two machines differ.
  const std::vector<std::uint16_t> bits = bf16_pool(1, 4, 0.02F);
  EXPECT_EQ(bits, (std::vector<std::uint16_t>{15554, 15347, 48145, 48096}));
}

TEST(SynthConfig, IsTheRealModel) {
  const auto config = glm4v::parse_config(default_config(), "config.json").value_or_throw();
  EXPECT_EQ(config.num_layers, 40);
  EXPECT_EQ(config.vision->num_layers, 63);
}

}  // namespace
}  // namespace cardloom::synth
