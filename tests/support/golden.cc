#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "cardloom/base/file.h"

namespace cardloom::testing {

Golden::Golden(const std::string& name)
    : folder_(std::string(CARDLOOM_SOURCE_DIR) + "/tests/golden/" + name),
      root_(
          parse_json(read_file(folder_ + "/golden.json", 16 << 20).value_or_throw(), "golden.json")
              .value_or_throw()
              .as_object()),
      file_(SafetensorsFile::open(folder_ + "/golden.safetensors").value_or_throw()) {}

LoadedModelDirectory Golden::open() const { return open_model(folder_ + "/ckpt").value_or_throw(); }

TensorView Golden::tensor(const std::string& key) const {
  return file_.tensor(key).value_or_throw();
}

std::vector<std::string> Golden::pictures() const {
  std::vector<std::string> names;
  for (const auto& picture : root_.at("images").as_object()) names.emplace_back(picture.key());
  return names;
}

double Golden::tolerance(const char* part) const {
  const json::value& error =
      root_.at("tolerance").as_object().at("float32_oracle_vs_float64").as_object().at(part);
  return 20 * error.to_number<double>();
}

std::string Golden::picture_of(std::size_t index) const {
  const json::value& image = cases()[index].as_object().at("image");
  return image.is_null() ? std::string() : std::string(image.as_string());
}

TestPrompt Golden::prompt(std::size_t index, const TensorView& embeds) const {
  const json::object& golden_case = cases()[index].as_object();
  const LoadedModelDirectory directory = open();
  TestPrompt prompt;
  const json::array& ids = golden_case.at("ids").as_array();
  for (std::size_t place = 0; place < ids.size(); ++place) {
    const auto id = ids[place].to_number<std::int32_t>();
    if (embeds.rank == 0 || id != directory.config.boi_token_id) {
      prompt.ids.push_back(id);
      continue;
    }
    prompt.pictures.push_back({static_cast<std::int64_t>(prompt.ids.size()), embeds});
    prompt.ids.insert(prompt.ids.end(), static_cast<std::size_t>(embeds.shape[0]), id);
    place += 2;  // the placeholder and end-of-image are rows of the picture
  }
  for (const json::value& position : golden_case.at("position_ids").as_array()) {
    prompt.positions.push_back(position.to_number<std::int32_t>());
  }
  EXPECT_EQ(prompt.ids.size(), prompt.positions.size());
  prompt.next_position = golden_case.at("first_generated_position").to_number<std::int32_t>();
  return prompt;
}

double max_difference(const TensorView& a, const TensorView& b) {
  if (!same_shape(a, b) || a.dtype != DType::kF32 || b.dtype != DType::kF32) {
    ADD_FAILURE() << to_string(a) << " and " << to_string(b);
    return std::numeric_limits<double>::infinity();
  }
  double most = 0;
  for (std::int64_t index = 0; index < a.num_elements(); ++index) {
    float left = 0;  // memcpy: a file's data may lie at any address
    float right = 0;
    std::memcpy(&left, a.data + index * 4, sizeof left);
    std::memcpy(&right, b.data + index * 4, sizeof right);
    const double difference = std::abs(static_cast<double>(left) - right);
    if (!(difference <= most)) most = difference;  // a NaN wins
    if (std::isnan(difference)) return difference;
  }
  return most;
}

}  // namespace cardloom::testing
