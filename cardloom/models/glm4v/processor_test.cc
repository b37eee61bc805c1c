#include "cardloom/models/glm4v/processor.h"

#include <gtest/gtest.h>

#include "cardloom/base/file.h"
#include "cardloom/base/json.h"
#include "tests/support/sha256.h"

namespace cardloom::glm4v {
namespace {

const std::string kGolden = std::string(CARDLOOM_SOURCE_DIR) + "/tests/golden/";

json::value read_golden(const std::string& name) {
  const std::string path = kGolden + name + "/golden.json";
  return parse_json(read_file(path, 1 << 24).value_or_throw(), path).value_or_throw();
}

/// What a prompt depends on of a golden checkpoint's config.
Glm4vConfig config_of(const json::value& golden) {
  const json::value& args = golden.at("made_by").at("args");
  const auto number = [&](const char* name) { return args.at(name).to_number<std::int64_t>(); };
  const auto special = [&](const char* name) {
    return golden.at("special_ids").at(name).to_number<std::int32_t>();
  };
  Glm4vConfig config;
  config.boi_token_id = special("<|begin_of_image|>");
  config.eoi_token_id = special("<|end_of_image|>");
  config.pad_token_id = special("<|endoftext|>");
  config.vision = VisionConfig{};
  config.vision->image_size = number("image_size");
  config.vision->patch_size = number("patch_size");
  return config;
}

std::vector<std::int32_t> ids_of(const json::value& list) {
  std::vector<std::int32_t> ids;
  for (const json::value& id : list.as_array()) ids.push_back(id.to_number<std::int32_t>());
  return ids;
}

std::vector<Tensor> blank_pictures(const Glm4vConfig& config, int count) {
  std::vector<Tensor> pictures;
  for (int index = 0; index < count; ++index) {
    pictures.emplace_back(DType::kF32,
                          std::initializer_list<std::int64_t>{3, config.vision->image_size,
                                                              config.vision->image_size});
  }
  return pictures;
}

/// 4 patches a side of 4 pixels: 2 x 2 projected rows and two ends.
Glm4vConfig small_config() {
  Glm4vConfig config;
  config.boi_token_id = 90;
  config.eoi_token_id = 91;
  config.pad_token_id = 80;
  config.vision = VisionConfig{};
  config.vision->image_size = 16;
  config.vision->patch_size = 4;
  return config;
}

std::string message_of(const Result<Prompt>& prompt) {
  return prompt ? "" : prompt.error().message;
}
std::string message_of(const Result<TokenizedChat>& chat) {
  return chat ? "" : chat.error().message;
}

class GoldenPrompt : public testing::TestWithParam<const char*> {};

TEST_P(GoldenPrompt, HasTheReferencesRowsAndPositions) {
  const json::value golden = read_golden(GetParam());
  const Glm4vConfig config = config_of(golden);
  int num_with_picture = 0;
  for (const json::value& wanted : golden.at("cases").as_array()) {
    const bool has_picture = !wanted.at("image").is_null();
    num_with_picture += has_picture ? 1 : 0;
    const std::vector<std::int32_t> ids = ids_of(wanted.at("ids"));
    const TokenizedChat chat = find_pictures(ids, has_picture ? 1 : 0, config).value_or_throw();
    const Prompt prompt =
        make_prompt(chat, blank_pictures(config, has_picture ? 1 : 0), config).value_or_throw();
    EXPECT_EQ(static_cast<std::int64_t>(prompt.token_ids.size()),
              wanted.at("rows").to_number<std::int64_t>());
    EXPECT_EQ(prompt.positions, ids_of(wanted.at("position_ids")));
    EXPECT_EQ(prompt.next_position,
              wanted.at("first_generated_position").to_number<std::int32_t>());
    ASSERT_EQ(prompt.image_spans.size(), has_picture ? 1U : 0U);
    if (!has_picture) {
      EXPECT_EQ(prompt.token_ids, ids);
    }
  }
  EXPECT_GT(num_with_picture, 0);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenPrompt, testing::Values("tiny", "f32", "onekv"),
                         [](const auto& name) { return std::string(name.param); });

TEST(Processor, PixelValuesAreTheReferencesBits) {
  const json::value golden = read_golden("tiny");
  const Glm4vConfig config = config_of(golden);
  for (const auto& [name, wanted] : golden.at("images").as_object()) {
    const std::string path = kGolden + "tiny/" + wanted.at("file").as_string().c_str();
    const Tensor pixels = load_pixel_values(path, config.vision->image_size).value_or_throw();
    EXPECT_EQ(testing_support::sha256(
                  std::span(pixels.view().data, static_cast<std::size_t>(pixels.size_bytes()))),
              wanted.at("pixel_values_sha256_f32le").as_string().c_str())
        << path;
  }
}

TEST(Processor, EveryPictureAdvancesThePositionByThree) {
  const Glm4vConfig config = small_config();
  const std::vector<std::int32_t> ids{1, 90, 80, 91, 2, 90, 80, 91, 90, 80, 91, 3};
  const TokenizedChat chat = find_pictures(ids, 3, config).value_or_throw();
  const Prompt prompt = make_prompt(chat, blank_pictures(config, 3), config).value_or_throw();
  EXPECT_EQ(prompt.token_ids, (std::vector<std::int32_t>{1,  90, 90, 90, 90, 90, 90, 2,  90, 90, 90,
                                                         90, 90, 90, 90, 90, 90, 90, 90, 90, 3}));
  EXPECT_EQ(prompt.positions, (std::vector<std::int32_t>{0, 1, 2, 2, 2, 2, 3, 4, 5,  6, 6,
                                                         6, 6, 7, 8, 9, 9, 9, 9, 10, 11}));
  EXPECT_EQ(prompt.next_position, 12);
  ASSERT_EQ(prompt.image_spans.size(), 3U);
  EXPECT_EQ(prompt.image_spans[1].begin, 8);
  EXPECT_EQ(prompt.image_spans[1].end, 14);
  EXPECT_EQ(prompt.image_spans[2].image, 2);
  EXPECT_EQ(prompt.images.size(), 3U);
}

TEST(Processor, IdsWithoutPicturesArePlainTokens) {
  const std::vector<std::int32_t> ids{1, 90, 2};
  const TokenizedChat chat = find_pictures(ids, 0, small_config()).value_or_throw();
  const Prompt prompt = make_prompt(chat, {}, small_config()).value_or_throw();
  EXPECT_EQ(prompt.token_ids, ids);
  EXPECT_EQ(prompt.next_position, 3);
}

TEST(Processor, WrongPlacesAndCountsAreNamed) {
  const Glm4vConfig config = small_config();
  EXPECT_EQ(message_of(find_pictures({1, 90, 80, 91}, 2, config)),
            "the ids have places for 1 picture, but 2 pictures came with them");
  EXPECT_EQ(message_of(find_pictures({1, 2}, 1, config)),
            "the ids have places for 0 pictures, but 1 picture came with them");
  EXPECT_EQ(message_of(find_pictures({1, 90, 80}, 1, config)),
            "a picture at id 1 needs 3 ids, but there are 3 in all");
  EXPECT_EQ(message_of(find_pictures({90, 91, 80}, 1, config)),
            "a picture at id 0 must read 90 (begin of image), any id, 91 (end of image), but reads "
            "90 91 80");
  EXPECT_EQ(message_of(make_prompt({{90, 80, 91}, {{0, {}}}}, {}, config)),
            "the prompt has places for 1 picture, but 0 pictures came with it");
  EXPECT_EQ(message_of(make_prompt({{90, 80, 91}, {{1, {}}}}, blank_pictures(config, 1), config)),
            "a picture at id 1 needs 3 ids, but there are 3 in all");
  EXPECT_EQ(message_of(make_prompt({{90, 80, 91, 91}, {{0, {}}, {1, {}}}},
                                   blank_pictures(config, 2), config)),
            "picture 2 is at id 1, but must not begin before id 3");
  EXPECT_EQ(message_of(make_prompt({{90, 80, 91}, {{-1, {}}}}, blank_pictures(config, 1), config)),
            "picture 1 is at id -1, but must not begin before id 0");
}

TEST(Processor, PixelValuesOfAnotherSizeAreRefused) {
  Glm4vConfig other = small_config();
  other.vision->image_size = 32;
  EXPECT_EQ(
      message_of(make_prompt({{90, 80, 91}, {{0, {}}}}, blank_pictures(other, 1), small_config())),
      "pixel values of picture 1 must be f32[3, 16, 16], but are f32[3, 32, 32]{1024, 32, "
      "1}@cpu:0");
}

TEST(Processor, ATextModelTakesNoPictures) {
  Glm4vConfig text;
  EXPECT_EQ(
      message_of(make_prompt({{90, 80, 91}, {{0, {}}}}, blank_pictures(small_config(), 1), text)),
      "this model takes no pictures, but the prompt has 1");
  EXPECT_EQ(make_prompt({{1, 2}, {}}, {}, text).value_or_throw().next_position, 2);
}

TEST(Processor, BrokenFilesAreNamed) {
  EXPECT_EQ(load_pixel_values(kGolden + "no_such.png", 16).error().code, ErrorCode::kNotFound);
  const Result<Tensor> pixels = load_pixel_values(kGolden + "tiny/golden.json", 16);
  ASSERT_FALSE(pixels);
  EXPECT_NE(pixels.error().message.find("golden.json"), std::string::npos);
}

}  // namespace
}  // namespace cardloom::glm4v
