#include "cardloom/tokenizer/tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include "cardloom/base/file.h"
#include "cardloom/base/json.h"
#include "cardloom/base/utf8.h"

namespace cardloom {
namespace {

using Ids = std::vector<std::int32_t>;
const std::string kTiny = CARDLOOM_SOURCE_DIR "/tests/golden/tiny";
const std::string kShared = CARDLOOM_SOURCE_DIR "/../shared";

std::unique_ptr<Tokenizer> load(const std::string& directory) {
  auto loaded = load_tokenizer(directory);
  if (!loaded) throw Exception(loaded.error());
  return *std::move(loaded);
}

Ids ids_of(const json::value& list) {
  Ids ids;
  for (const json::value& id : list.as_array()) ids.push_back(id.to_number<std::int32_t>());
  return ids;
}

void expect_golden(const std::string& directory) {
  const auto golden = parse_json(*read_file(directory + "/golden.json", 1 << 24), "golden.json");
  ASSERT_TRUE(golden);
  const auto tokenizer = load(directory + "/ckpt");
  const json::array& cases = golden->at("tokenizer").as_array();
  ASSERT_GT(cases.size(), 10U);
  for (const json::value& c : cases) {
    const std::string_view text = c.at("text").as_string();
    EXPECT_EQ(tokenizer->encode(text), ids_of(c.at("ids"))) << text;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
  for (const auto& [spelling, id] : golden->at("special_ids").as_object()) {
    EXPECT_EQ(tokenizer->special_id(spelling), id.to_number<std::int32_t>()) << spelling;
    EXPECT_TRUE(tokenizer->is_special(id.to_number<std::int32_t>()));
    EXPECT_EQ(tokenizer->special_spelling(id.to_number<std::int32_t>()), spelling);
  }
}

TEST(Tokenizer, ReproducesTheGoldenIds) { expect_golden(kTiny); }

TEST(Tokenizer, ReproducesAllGoldenIdsWhenPresent) {
  if (!std::filesystem::exists(kShared + "/golden")) GTEST_SKIP() << "no shared data";
  for (const char* name : {"tiny", "f32", "onekv"}) expect_golden(kShared + "/golden/" + name);
}

TEST(Tokenizer, TellsSpecialFromOrdinary) {
  const auto tokenizer = load(kTiny + "/ckpt");
  EXPECT_EQ(tokenizer->vocab_size(), 430);
  EXPECT_EQ(tokenizer->token_bytes(97), "a");
  EXPECT_FALSE(tokenizer->is_special(97));
  EXPECT_EQ(tokenizer->special_spelling(97), "");
  for (const std::int32_t id : {-1, 423, 430, 1 << 30, INT32_MIN, INT32_MAX}) {
    EXPECT_EQ(tokenizer->token_bytes(id), "") << id;
  }
  EXPECT_EQ(tokenizer->special_id("a"), std::nullopt);
  EXPECT_EQ(tokenizer->decode(Ids{423, 97, 424, 98, 9999}), "ab");
}

TEST(Tokenizer, EncodesSpecialSpellingsOnlyWhenAsked) {
  const auto tokenizer = load(kTiny + "/ckpt");
  const std::string text = "[gMASK]<sop><|user|>\nab<|us<|assistant|>";
  EXPECT_EQ(tokenizer->encode_with_special(text),
            (Ids{418, 420, 423, 10, 97, 98, 60, 124, 117, 115, 424}));
  for (const std::int32_t id : tokenizer->encode(text)) EXPECT_FALSE(tokenizer->is_special(id));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_EQ(tokenizer->encode_with_special(""), Ids{});
}

TEST(Tokenizer, GivesAnyBytesBack) {
  const auto tokenizer = load(kTiny + "/ckpt");
  std::mt19937 random(11);
  for (int i = 0; i < 20000; ++i) {
    std::string text(random() % 80, '\0');
    for (char& c : text) c = static_cast<char>(random());
    std::string together;
    const Ids ids = tokenizer->encode(text);
    for (const std::int32_t id : ids) together += tokenizer->token_bytes(id);
    ASSERT_EQ(together, text);
    ASSERT_EQ(tokenizer->decode(ids), replace_invalid_utf8(text));
  }
}

TEST(LoadTokenizer, NamesTheMissingFile) {
  const std::string directory =
      testing::TempDir() + "cardloom_tokenizer_test_" + std::to_string(getpid());
  std::filesystem::create_directory(directory);
  const auto no_model = load_tokenizer(directory);
  ASSERT_FALSE(no_model);
  EXPECT_EQ(no_model.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(no_model.error().message, "cannot open " + directory + "/tokenizer.model");
  EXPECT_NE(no_model.error().remedy.find("tokenizer_config.json"), std::string::npos);
  std::filesystem::copy(kTiny + "/ckpt/tokenizer.model", directory);
  EXPECT_EQ(load_tokenizer(directory).error().message,
            "cannot open " + directory + "/tokenizer_config.json");
  std::ofstream(directory + "/tokenizer_config.json")
      << R"({"added_tokens_decoder": {"415": {"content": "<x>"}}})";
  EXPECT_NE(load_tokenizer(directory).error().message.find("the id must be 416 to"),
            std::string::npos);
  std::filesystem::resize_file(directory + "/tokenizer.model", 1000);
  EXPECT_EQ(load_tokenizer(directory).error().code, ErrorCode::kDataLoss);
  std::filesystem::resize_file(directory + "/tokenizer.model", (64 << 20) + 1);
  EXPECT_EQ(load_tokenizer(directory).error().code, ErrorCode::kResourceExhausted);
  std::filesystem::remove_all(directory);
}

// Source of the ids: chatglm.cpp's chatglm_test.cpp, made by the official tokenizer.
TEST(RealTokenizer, ReproducesOfficialIds) {
  if (!std::filesystem::exists(kShared + "/data/glm4-tokenizer")) GTEST_SKIP() << "not here";
  const auto tokenizer = load(kShared + "/data/glm4-tokenizer");
  EXPECT_EQ(tokenizer->encode("你好"), Ids{109377});
  EXPECT_EQ(tokenizer->encode_with_special("[gMASK]<sop><|user|>\n你好<|assistant|>"),
            (Ids{151331, 151333, 151336, 198, 109377, 151337}));
  EXPECT_EQ(tokenizer->vocab_size(), 151343);
  EXPECT_EQ(tokenizer->special_id("<|begin_of_image|>"), 151339);
}

TEST(RealTokenizer, TakesHostileTextInItsStride) {
  if (!std::filesystem::exists(kShared + "/data/glm4-tokenizer")) GTEST_SKIP() << "not here";
  const auto tokenizer = load(kShared + "/data/glm4-tokenizer");
  for (const std::string unit : {"a", " ", "\n", "=", "<", "ab", "\xFF", "哈", "\u3000"}) {
    std::string text;
    while (text.size() < 1 << 20) text += unit;
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = tokenizer->encode_with_special(text);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 20.0) << "1 MB of " << unit << "; 0.3 s when written";
    std::string together;
    for (const std::int32_t id : ids) together += tokenizer->token_bytes(id);
    EXPECT_EQ(together, text);
  }
}

}  // namespace
}  // namespace cardloom
