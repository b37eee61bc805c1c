#include "cardloom/weights/weight_store.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "cardloom/tensor/tensor.h"
#include "cardloom/weights/safetensors_writer.h"
#include "cardloom/weights/test_support.h"

namespace cardloom {
namespace {

using testing_support::read_bytes;
using testing_support::replaced;
using testing_support::TemporaryFolder;
using testing_support::write_bytes;

const std::string kTiny = std::string(CARDLOOM_SOURCE_DIR) + "/tests/golden/tiny/ckpt";
const std::string kSecond = "model-00002-of-00003.safetensors";
const std::string kIndex = "model.safetensors.index.json";
const std::string kNorm = "transformer.encoder.final_layernorm.weight";  // in the second shard

/// A copy of the tiny checkpoint to damage.
struct Copy {
  Copy() {
    for (const auto& file : std::filesystem::directory_iterator(kTiny)) {
      write_bytes(folder.file(file.path().filename()), read_bytes(file.path()));
    }
  }
  TemporaryFolder folder;
};

TEST(WeightStore, OpensTheTinyCheckpoint) {
  const Result<WeightStore> store = WeightStore::open(kTiny);
  ASSERT_TRUE(store) << store.error().describe();
  EXPECT_EQ(store->index().shards.size(), 3U);
  EXPECT_TRUE(store->index().unindexed_names.empty());
  const TensorIndexEntry* entry = store->find(kNorm);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->shard, kSecond);
  EXPECT_EQ(entry->shape, std::vector<std::int64_t>{64});
  EXPECT_EQ(entry->dtype_name, "BF16");
  const Result<TensorView> view = store->tensor(kNorm);
  ASSERT_TRUE(view);
  EXPECT_EQ(to_string(*view), "bf16[64]{1}@cpu:0");
  EXPECT_EQ(store->tensor("none").error().code, ErrorCode::kNotFound);
  std::int64_t bytes = 0;
  for (const TensorIndexEntry& each : store->index().entries) {
    const Result<TensorView> tensor = store->tensor(each.name);
    ASSERT_TRUE(tensor) << tensor.error().describe();
    bytes += tensor->num_elements() * size_of(tensor->dtype);
  }
  EXPECT_EQ(bytes, 523432);  // total_size of the index
}

TEST(WeightStore, HintsChangeNoData) {
  const WeightStore store = WeightStore::open(kTiny).value_or_throw();
  for (const TensorIndexEntry& entry : store.index().entries) {
    const TensorView view = store.tensor(entry.name).value_or_throw();
    const auto size = static_cast<std::size_t>(view.num_elements() * size_of(view.dtype));
    const std::vector<std::byte> before(view.data, view.data + size);
    store.will_read(entry.name);
    store.was_read(entry.name);
    EXPECT_EQ(std::vector<std::byte>(view.data, view.data + size), before) << entry.name;
  }
  store.will_read("none");
  store.was_read("none");
}

TEST(WeightStore, OpensASingleFile) {
  const TemporaryFolder folder;
  const Tensor x(DType::kF32, {2, 3});
  ASSERT_TRUE(write_safetensors(folder.file("model.safetensors"), {{"b", x}, {"a", x}}));
  const Result<WeightStore> store = WeightStore::open(folder.path());
  ASSERT_TRUE(store) << store.error().describe();
  EXPECT_EQ(store->index().entries.size(), 2U);
  EXPECT_EQ(store->find("a")->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_TRUE(store->tensor("b"));
}

TEST(WeightStore, NamesWhatIsMissing) {
  const TemporaryFolder empty;
  EXPECT_EQ(WeightStore::open(empty.path()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(WeightStore::open(empty.path()).error().detail,
            "neither model.safetensors.index.json nor model.safetensors is there");
  const Copy copy;
  std::filesystem::remove(copy.folder.file(kSecond));
  const Result<WeightStore> store = WeightStore::open(copy.folder.path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store.error().message, copy.folder.path() + ": shard \"" + kSecond + "\" is missing");
  EXPECT_EQ(store.error().detail,
            "1 of the 3 shards that model.safetensors.index.json names are missing");
  // The index alone still tells the names, and the shapes of what is there.
  const Result<TensorIndex> index = read_tensor_index(copy.folder.path());
  ASSERT_TRUE(index);
  EXPECT_EQ(index->missing_shards, std::vector<std::string>{kSecond});
  EXPECT_EQ(index->find(kNorm)->shape, std::nullopt);
  EXPECT_TRUE(index->find("transformer.embedding.word_embeddings.weight")->shape.has_value());
}

TEST(WeightStore, NamesATruncatedShard) {
  const Copy copy;
  const std::string path = copy.folder.file(kSecond);
  std::filesystem::resize_file(path, 196239);
  const Result<WeightStore> store = WeightStore::open(copy.folder.path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(store.error().message, path + ": file has 196239 bytes, its header describes 196240");
  EXPECT_FALSE(read_tensor_index(copy.folder.path()));
}

TEST(WeightStore, NamesATensorTheIndexPromises) {
  const Copy copy;
  const std::string path = copy.folder.file(kSecond);
  write_bytes(path,
              replaced(read_bytes(path), kNorm, "transformer.encoder.final_layernorm.heavie"));
  const Result<WeightStore> store = WeightStore::open(copy.folder.path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(store.error().message, path + ": tensor \"" + kNorm + "\" is missing");
}

TEST(WeightStore, ListsNamesTheIndexDoesNotKnow) {
  const Copy copy;
  const std::string path = copy.folder.file(kIndex);
  write_bytes(path, replaced(read_bytes(path), kNorm + "\": \"" + kSecond + "\",",
                             "x\": \"" + kSecond + "\","));
  EXPECT_FALSE(WeightStore::open(copy.folder.path()));
  write_bytes(path, replaced(read_bytes(path), "\"x\": \"" + kSecond + "\",", ""));
  const Result<WeightStore> store = WeightStore::open(copy.folder.path());
  ASSERT_TRUE(store) << store.error().describe();
  EXPECT_EQ(store->index().unindexed_names, std::vector<std::string>{kNorm});
}

TEST(WeightStore, RefusesShardsOutsideTheFolder) {
  for (const std::string shard :
       {"../x.safetensors", "/etc/passwd", "..", ".", "", "a\\\\b", "a/b", "a\\u0000b"}) {
    const TemporaryFolder folder;
    write_bytes(folder.file(kIndex), R"({"weight_map": {"a": ")" + shard + "\"}}");
    const Result<WeightStore> store = WeightStore::open(folder.path());
    ASSERT_FALSE(store) << shard;
    EXPECT_EQ(store.error().code, ErrorCode::kInvalidArgument) << store.error().describe();
    EXPECT_NE(store.error().message.find("must be the name of a file in the same folder"),
              std::string::npos);
  }
}

TEST(WeightStore, RefusesAnIndexThatIsNone) {
  for (const char* text :
       {"", "[]", "{}", "{\"weight_map\": []}", "{\"weight_map\": {\"a\": 1}}"}) {
    const TemporaryFolder folder;
    write_bytes(folder.file(kIndex), text);
    EXPECT_EQ(read_tensor_index(folder.path()).error().code, ErrorCode::kInvalidArgument) << text;
  }
}

TEST(ReadTensorIndex, WorksFromTheIndexAlone) {
  const TemporaryFolder folder;
  write_bytes(folder.file(kIndex), read_bytes(std::string(CARDLOOM_SOURCE_DIR) +
                                              "/tests/configs/glm-4-9b-chat.index.json"));
  const Result<TensorIndex> index = read_tensor_index(folder.path());
  ASSERT_TRUE(index) << index.error().describe();
  EXPECT_EQ(index->missing_shards.size(), 10U);
  EXPECT_EQ(index->entries.size(), 284U);
  EXPECT_EQ(index->find("transformer.output_layer.weight")->shape, std::nullopt);
}

}  // namespace
}  // namespace cardloom
