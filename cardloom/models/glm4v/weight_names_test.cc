#include "cardloom/models/glm4v/weight_names.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "cardloom/weights/test_support.h"

namespace cardloom::glm4v {
namespace {

using testing_support::read_bytes;
using testing_support::replaced;
using testing_support::TemporaryFolder;
using testing_support::write_bytes;

const std::string kSource = CARDLOOM_SOURCE_DIR;
const std::string kTiny = kSource + "/tests/golden/tiny/ckpt";
const std::string kIndexName = "model.safetensors.index.json";
const std::string kFirst = "model-00001-of-00003.safetensors";

Glm4vConfig config_at(const std::string& path) {
  return parse_config(read_bytes(path), path).value_or_throw();
}

/// A copy of the tiny checkpoint to damage.
struct Copy {
  Copy() {
    for (const auto& file : std::filesystem::directory_iterator(kTiny)) {
      write_bytes(folder.file(file.path().filename()), read_bytes(file.path()));
    }
  }
  void edit(const std::string& file, const std::string& from, const std::string& to) const {
    write_bytes(folder.file(file), replaced(read_bytes(folder.file(file)), from, to));
  }
  [[nodiscard]] Status check() const {
    const Result<Glm4vConfig> config = read_config(folder.path());
    if (!config) return config.error();
    const Result<TensorIndex> index = read_tensor_index(folder.path());
    if (!index) return index.error();
    return check_weights(*config, *index);
  }
  TemporaryFolder folder;
};

TEST(WeightNames, CountTheParametersOfTheRealModels) {
  const Glm4vConfig glm4v = config_at(kSource + "/tests/configs/glm-4v-9b.json");
  EXPECT_EQ(expected_tensors(glm4v).size(), 1053U);
  EXPECT_EQ(num_parameters(glm4v), 13906320896);
  const Glm4vConfig chat = config_at(kSource + "/tests/configs/glm-4-9b-chat.json");
  EXPECT_EQ(num_parameters(chat), 9399951360);
}

TEST(WeightNames, AreThoseOfTheTinyCheckpoint) {
  const Result<WeightStore> store = WeightStore::open(kTiny);
  ASSERT_TRUE(store) << store.error().describe();
  const Glm4vConfig config = config_at(kTiny + "/config.json");
  const Status status = check_weights(config, store->index());
  EXPECT_TRUE(status) << status.error().describe();
  EXPECT_TRUE(surplus_tensors(config, store->index()).empty());
  // And not one name fewer: all that is stored, but for inv_freq, is expected.
  EXPECT_EQ(expected_tensors(config).size() + 1, store->index().entries.size());
}

TEST(WeightNames, AreThoseOfGlm49bChatsIndexAlone) {
  const TemporaryFolder folder;
  write_bytes(folder.file(kIndexName),
              read_bytes(kSource + "/tests/configs/glm-4-9b-chat.index.json"));
  const Result<TensorIndex> index = read_tensor_index(folder.path());
  ASSERT_TRUE(index);
  const Glm4vConfig config = config_at(kSource + "/tests/configs/glm-4-9b-chat.json");
  EXPECT_TRUE(check_weights(config, *index));
  EXPECT_TRUE(surplus_tensors(config, *index).empty());
  const Glm4vConfig glm4v = config_at(kSource + "/tests/configs/glm-4v-9b.json");
  EXPECT_EQ(check_weights(glm4v, *index).error().message,
            index->source + ": tensor \"transformer.vision.boi\" is missing");
}

TEST(WeightNames, AreThoseOfEveryCheckpointAtHand) {
  const std::string shared = kSource + "/../shared/";
  if (!std::filesystem::exists(shared + "golden")) GTEST_SKIP() << "no ../shared";
  for (const char* folder : {"golden/f32/ckpt", "golden/onekv/ckpt", "nano"}) {
    const Result<Glm4vConfig> config = read_config(shared + folder);
    ASSERT_TRUE(config) << config.error().describe();
    EXPECT_TRUE(read_generation_config(shared + folder));
    const Result<WeightStore> store = WeightStore::open(shared + folder);
    ASSERT_TRUE(store) << store.error().describe();
    const Status status = check_weights(*config, store->index());
    EXPECT_TRUE(status) << status.error().describe();
    EXPECT_TRUE(surplus_tensors(*config, store->index()).empty()) << folder;
  }
}

TEST(CheckWeights, NamesAMissingTensor) {
  const Copy copy;
  copy.edit("config.json", "\"num_layers\": 3", "\"num_layers\": 4");
  const Status status = copy.check();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(status.error().message,
            copy.folder.file(kIndexName) +
                ": tensor \"transformer.encoder.layers.3.input_layernorm.weight\" is missing");
}

TEST(CheckWeights, NamesAWrongShapeAndBothShapes) {
  const Copy copy;
  copy.edit("config.json", "\"ffn_hidden_size\": 112", "\"ffn_hidden_size\": 96");
  EXPECT_EQ(copy.check().error().message,
            copy.folder.file(kIndexName) +
                ": tensor \"transformer.encoder.layers.0.mlp.dense_h_to_4h.weight\" has shape "
                "[224, 64], config.json makes it [192, 64]");
  const Copy turned;
  turned.edit(kFirst, "\"shape\":[448,64]", "\"shape\":[64,448]");
  const Status status = turned.check();
  EXPECT_EQ(status.error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(status.error().message,
            turned.folder.file(kIndexName) +
                ": tensor \"transformer.embedding.word_embeddings.weight\" has shape [64, 448], "
                "config.json makes it [448, 64]");
}

TEST(CheckWeights, NamesAWrongDType) {
  const Copy copy;
  copy.edit(kFirst, "\"dtype\":\"BF16\"", "\"dtype\":\"XF16\"");
  const Status status = copy.check();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(status.error().message,
            copy.folder.file(kIndexName) +
                ": tensor \"transformer.embedding.word_embeddings.weight\" has dtype \"XF16\", it "
                "must be BF16, F16 or F32");
  const Copy integers;
  integers.edit(kFirst, R"({"dtype":"BF16","shape":[448,64])", R"({"dtype":"I8","shape":[896,64])");
  EXPECT_FALSE(integers.check());
}

TEST(CheckWeights, PassesOnWhatIsWrongWithAFile) {
  const Copy outside;
  outside.edit(kFirst, "\"data_offsets\":[0,57344]", "\"data_offsets\":[9,57344]");
  EXPECT_EQ(outside.check().error().message,
            outside.folder.file(kFirst) +
                ": tensor \"transformer.embedding.word_embeddings.weight\" of BF16 [448, 64] needs "
                "57344 bytes, its data_offsets hold 57335");
  const Copy beyond;
  beyond.edit(kFirst, "\"data_offsets\":[57344,57352]", "\"data_offsets\":[97344,97352]");
  EXPECT_NE(beyond.check().error().message.find(" overlap"), std::string::npos);
  const Copy far;
  far.edit(kFirst, "\"data_offsets\":[111112,125448]", "\"data_offsets\":[911112,925448]");
  EXPECT_EQ(far.check().error().code, ErrorCode::kDataLoss);
  EXPECT_NE(far.check().error().message.find(": file has 221224 bytes, its header describes "),
            std::string::npos);
}

TEST(CheckWeights, ListsSurplusNames) {
  const Copy copy;
  copy.edit("config.json", "\"num_layers\": 3", "\"num_layers\": 2");
  EXPECT_TRUE(copy.check());
  const std::vector<std::string> surplus =
      surplus_tensors(*read_config(copy.folder.path()), *read_tensor_index(copy.folder.path()));
  ASSERT_EQ(surplus.size(), 7U);
  EXPECT_EQ(surplus.front(), "transformer.encoder.layers.2.input_layernorm.weight");
}

TEST(CheckWeights, ExplainsTiedEmbeddings) {
  Glm4vConfig config = config_at(kTiny + "/config.json");
  config.tie_word_embeddings = true;
  TensorIndex index = *read_tensor_index(kTiny);
  EXPECT_TRUE(check_weights(config, index));
  const auto is_output = [](const TensorIndexEntry& e) { return e.name == names::kOutputLayer; };
  index.entries.erase(std::find_if(index.entries.begin(), index.entries.end(), is_output));
  const Status status = check_weights(config, index);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().detail.find("tie_word_embeddings is true"), std::string::npos);
}

}  // namespace
}  // namespace cardloom::glm4v
