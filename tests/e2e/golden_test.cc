#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <cmath>

#include "cardloom/weights/safetensors.h"
#include "tests/e2e/process.h"
#include "tests/e2e/support.h"
#include "tests/support/sha256.h"

/// The commands' results against tests/golden/tiny, which an independent implementation computed.
namespace cardloom::e2e {
namespace {

const std::string kCheckpoint = kTiny + "/ckpt";

json::value json_of(const std::vector<std::string>& arguments) {
  const Outcome outcome = cardloom(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return parse(outcome.out);
}

/// The golden file says "wide" for images/wide.png.
json::value with_paths(json::value messages) {
  for (json::value& message : messages.as_array()) {
    if (json::value* image = message.as_object().if_contains("image")) {
      *image = kTiny + "/images/" + image->as_string().c_str() + ".png";
    }
  }
  return messages;
}

std::vector<std::string> with_image(std::vector<std::string> arguments, const json::value& image) {
  if (!image.is_null()) {
    arguments.insert(arguments.end(),
                     {"-i", kTiny + "/images/" + image.as_string().c_str() + ".png"});
  }
  return arguments;
}

TEST(Golden, TokenizeText) {
  for (const json::value& entry : golden().at("tokenizer").as_array()) {
    const std::string text = entry.at("text").as_string().c_str();
    const json::value got = json_of({"tokenize", kCheckpoint, "--json", "--", text});
    EXPECT_EQ(got.at("ids"), entry.at("ids")) << text;
  }
}

TEST(Golden, TokenizeChat) {
  const TempFolder folder;
  for (const json::value& entry : golden().at("chat").as_array()) {
    const std::string path =
        folder.write("chat.json", json::serialize(with_paths(entry.at("messages"))));
    const json::value got = json_of({"tokenize", kCheckpoint, "--chat", path, "--json"});
    EXPECT_EQ(got.at("ids"), entry.at("ids"));
  }
}

TEST(Golden, TokenizeOnePlainLine) {
  const Outcome outcome = cardloom({"tokenize", kCheckpoint}, {.input = "hello"});
  EXPECT_EQ(outcome.out, "259 270 111\n") << outcome.err;
}

TEST(Golden, Preprocess) {
  const TempFolder folder;
  for (const auto& [name, entry] : golden().at("images").as_object()) {
    const std::string image = kTiny + "/" + entry.at("file").as_string().c_str();
    const Outcome outcome = cardloom({"preprocess", kCheckpoint, image, "--out", folder.file("p")});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const SafetensorsFile file = SafetensorsFile::open(folder.file("p")).value_or_throw();
    const TensorView pixels = file.tensor("pixel_values").value_or_throw();
    EXPECT_EQ(testing_support::sha256(
                  std::span(pixels.data, static_cast<std::size_t>(pixels.num_elements() * 4))),
              entry.at("pixel_values_sha256_f32le").as_string())
        << name;
  }
}

TEST(Golden, GenerateGreedyInF32) {
  int number = 0;
  for (const json::value& entry : golden().at("cases").as_array()) {
    const json::array& wanted = entry.at("greedy_ids").as_array();
    const std::string tp = std::to_string(1 + number++ % 3);
    const json::value got = json_of(with_image(
        {"generate", kCheckpoint, "--ids", spaced(entry.at("ids")), "--dtype", "f32",
         "--max-tokens", std::to_string(wanted.size()), "--ignore-eos", "--json", "--tp", tp},
        entry.at("image")));
    EXPECT_EQ(got.at("ids"), entry.at("greedy_ids")) << "case " << number - 1;
  }
}

/// The golden "first8" of a tensor, within 20 times the float32 oracle's own error.
void expect_first8(const SafetensorsFile& file, const std::string& name, const json::value& wanted,
                   double tolerance) {
  const Result<TensorView> found = file.tensor(name);
  ASSERT_TRUE(found) << name;
  ASSERT_EQ(found->dtype, DType::kF32);
  const json::array& shape = wanted.at("shape").as_array();
  ASSERT_EQ(static_cast<std::size_t>(found->rank), shape.size()) << name;
  for (int axis = 0; axis < found->rank; ++axis) {
    EXPECT_EQ(found->shape[axis], shape[static_cast<std::size_t>(axis)].to_number<std::int64_t>());
  }
  double sum = 0;
  for (std::int64_t i = 0; i < found->num_elements(); ++i) sum += std::abs(found->at<float>()[i]);
  const auto abs_sum = wanted.at("abs_sum").to_number<double>();
  EXPECT_NEAR(sum, abs_sum, tolerance * abs_sum) << name;
  const json::array& first = wanted.at("first8").as_array();
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_NEAR(found->at<float>()[i], first[i].to_number<double>(), tolerance) << name;
  }
}

TEST(Golden, LogitsInF32) {
  const TempFolder folder;
  const json::value data = golden();
  constexpr double kTolerance = 2e-4;
  for (const std::size_t index : {std::size_t{0}, std::size_t{4}, std::size_t{5}}) {
    const json::value& entry = data.at("cases").as_array()[index];
    const std::string out = folder.file("l");
    const Outcome outcome =
        cardloom(with_image({"logits", kCheckpoint, "--ids", spaced(entry.at("ids")), "--dtype",
                             "f32", "--trace", "--out", out, "--tp", "2", "--chunk", "100"},
                            entry.at("image")));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const SafetensorsFile file = SafetensorsFile::open(out).value_or_throw();
    EXPECT_EQ(file.header().metadata.at("tp"), "2");
    EXPECT_EQ(file.header().metadata.at("dtype"), "f32");
    EXPECT_FALSE(file.header().metadata.at("isa").empty());
    expect_first8(file, "logits", entry.at("logits"), kTolerance);
    if (const json::value* trace = entry.as_object().if_contains("trace")) {
      for (const auto& [name, wanted] : trace->as_object()) {
        expect_first8(file, std::string(name), wanted, kTolerance);
      }
    }
    if (entry.at("image").is_null()) continue;
    const json::string& image = entry.at("image").as_string();
    expect_first8(file, "image_embeds.0", data.at("vision").at(image), 1e-5);
    for (const auto& [name, wanted] : data.at("vision_trace").at(image).as_object()) {
      if (name != "vision.out") expect_first8(file, std::string(name), wanted, kTolerance);
    }
  }
}

TEST(Golden, ChatAndIdsGiveTheSameLogits) {
  const TempFolder folder;
  const json::value data = golden();
  const json::value& chat = data.at("chat").as_array()[5];
  const json::value& entry = data.at("cases").as_array()[5];
  folder.write("chat.json", json::serialize(with_paths(chat.at("messages"))));
  const Outcome by_chat = cardloom(
      {"logits", kCheckpoint, "--chat", folder.file("chat.json"), "--out", folder.file("a")});
  const Outcome by_ids = cardloom(with_image(
      {"logits", kCheckpoint, "--ids", spaced(entry.at("ids")), "--out", folder.file("b")},
      entry.at("image")));
  ASSERT_EQ(by_chat.exit_code, 0) << by_chat.err;
  ASSERT_EQ(by_ids.exit_code, 0) << by_ids.err;
  EXPECT_EQ(read_text(folder.file("a")), read_text(folder.file("b")));
}

TEST(Golden, LogitsAreTheSameBytesOnAnyNumberOfCards) {
  const TempFolder folder;
  const json::value data = golden();
  const json::value& entry = data.at("cases").as_array()[7];
  for (const char* dtype : {"bf16", "f32"}) {
    std::string first;
    for (const char* tp : {"1", "2", "5", "8"}) {
      const Outcome outcome =
          cardloom(with_image({"logits", kCheckpoint, "--ids", spaced(entry.at("ids")), "--dtype",
                               dtype, "--tp", tp, "--out", folder.file("l")},
                              entry.at("image")));
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      const SafetensorsFile file = SafetensorsFile::open(folder.file("l")).value_or_throw();
      const TensorView logits = file.tensor("logits").value_or_throw();
      const std::string bytes(reinterpret_cast<const char*>(logits.data),
                              static_cast<std::size_t>(logits.num_elements() * 4));
      if (first.empty()) first = bytes;
      EXPECT_TRUE(bytes == first) << dtype << " tp " << tp;
    }
  }
}

}  // namespace
}  // namespace cardloom::e2e
