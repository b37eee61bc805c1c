#include "cardloom/weights/safetensors_header.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "cardloom/weights/test_support.h"

namespace cardloom {
namespace {

using testing_support::read_bytes;
using testing_support::replaced;
using testing_support::safetensors_bytes;

Result<SafetensorsHeader> parse(const std::string& bytes) {
  return parse_safetensors_header(std::as_bytes(std::span<const char>(bytes)),
                                  static_cast<std::int64_t>(bytes.size()), "f");
}

/// The message for a header with 100 bytes of data behind it.
std::string message_for(const std::string& json) {
  const Result<SafetensorsHeader> header = parse(safetensors_bytes(json, 100));
  if (header) return "no error";
  EXPECT_EQ(header.error().code, ErrorCode::kDataLoss);
  return header.error().message;
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape +
         R"(],"data_offsets":[)" + offsets + "]}";
}

TEST(SafetensorsHeader, KeepsOrderMetadataAndUnknownDTypes) {
  const std::string json = R"({"__metadata__":{"format":"pt","a\n":"b"},)" +
                           tensor("z", "F32", "2,3", "8,32") + "," +
                           tensor("a", "F64", "1", "0,8") + "," + tensor("s", "I8", "", "32,33") +
                           "," + tensor("e", "BF16", "0,7", "33,33") + "}   ";
  const Result<SafetensorsHeader> header = parse(safetensors_bytes(json, 33));
  ASSERT_TRUE(header) << header.error().describe();
  ASSERT_EQ(header->tensors.size(), 4U);
  EXPECT_EQ(header->tensors[0].name, "z");
  EXPECT_EQ(header->tensors[0].dtype, DType::kF32);
  EXPECT_EQ(header->tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(header->tensors[0].begin, 8);
  EXPECT_EQ(header->tensors[0].end, 32);
  EXPECT_EQ(header->find("a"), &header->tensors[1]);
  EXPECT_EQ(header->find("a")->dtype, std::nullopt);
  EXPECT_EQ(header->find("a")->dtype_name, "F64");
  EXPECT_TRUE(header->find("s")->shape.empty());
  EXPECT_EQ(header->find("b"), nullptr);
  EXPECT_EQ(header->data_begin, static_cast<std::int64_t>(8 + json.size()));
  EXPECT_EQ(header->metadata.at("format"), "pt");
  EXPECT_EQ(header->metadata.at("a\n"), "b");
  EXPECT_TRUE(parse(safetensors_bytes("{}", 0)));
  EXPECT_TRUE(parse(safetensors_bytes("{}", 5)));  // bytes that nobody claims
}

TEST(SafetensorsHeader, NamesWhatIsWrongWithTheLength) {
  EXPECT_EQ(parse("").error().message, "f: file has 0 bytes, a safetensors file at least 8");
  EXPECT_EQ(parse("1234567").error().message, "f: file has 7 bytes, a safetensors file at least 8");
  EXPECT_EQ(parse(std::string(8, '\xff')).error().message,
            "f: the header claims 18446744073709551615 bytes, the limit is 100000000");
  EXPECT_EQ(parse(safetensors_bytes("{}", 0).substr(0, 9)).error().message,
            "f: file has 9 bytes, its header alone needs 10");
  EXPECT_EQ(parse("version https://git-lfs.github.com/spec/v1\n").error().remedy,
            "fetch the file itself: git lfs pull");
}

TEST(SafetensorsHeader, ReportsATruncatedFileFromItsHeaderAlone) {
  const std::string bytes = safetensors_bytes("{" + tensor("a", "F32", "25", "0,100") + "}", 0);
  const auto header_bytes = static_cast<std::int64_t>(bytes.size());
  const auto prefix = std::as_bytes(std::span<const char>(bytes));
  EXPECT_TRUE(parse_safetensors_header(prefix, header_bytes + 100, "f"));
  const Result<SafetensorsHeader> cut = parse_safetensors_header(prefix, header_bytes + 99, "f");
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().message, "f: file has " + std::to_string(header_bytes + 99) +
                                     " bytes, its header describes " +
                                     std::to_string(header_bytes + 100));
  EXPECT_EQ(cut.error().detail,
            "tensor \"a\" is data bytes [0, 100), data begins at " + std::to_string(header_bytes));
}

TEST(SafetensorsHeader, NamesTheTensorAndBothValues) {
  const auto one = [](const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
    return message_for("{" + tensor("a", dtype, shape, offsets) + "}");
  };
  EXPECT_EQ(one("F32", "25", "0,100"), "no error");
  EXPECT_EQ(one("F32", "25", "8,0"), "f: tensor \"a\" begins at 8 and ends before that, at 0");
  EXPECT_EQ(one("F32", "24", "0,100"),
            "f: tensor \"a\" of F32 [24] needs 96 bytes, its data_offsets hold 100");
  EXPECT_EQ(
      one("BF16", "3,4294967296,4294967296", "0,100"),
      "f: tensor \"a\" of shape [3, 4294967296, 4294967296] has more bytes than can be counted");
  EXPECT_EQ(
      one("F64", "0,4294967296,4294967296", "0,0"),
      "f: tensor \"a\" of shape [0, 4294967296, 4294967296] has more bytes than can be counted");
  EXPECT_EQ(one("F32", "-1", "0,100"), "f: tensor \"a\": shape holds -1, less than 0");
  EXPECT_EQ(one("F32", "18446744073709551615", "0,100"),
            "f: tensor \"a\": shape holds 18446744073709551615, more than 9223372036854775807");
  EXPECT_EQ(one("F32", "2.5", "0,100"),
            "f: tensor \"a\": shape must be a list of whole numbers, not a list with other things");
  EXPECT_EQ(one("F32", "25", "0"), "f: tensor \"a\": data_offsets must hold 2 numbers, not 1");
  EXPECT_EQ(one("F32", "25", "0,100,0"), "f: tensor \"a\": data_offsets holds more than 2 numbers");
  EXPECT_EQ(one("X", "1", "0,9223372036854775807").substr(0, 12), "f: file has ");
  EXPECT_EQ(message_for("{" + tensor("a", "F32", "3", "0,12") + "," +
                        tensor("b", "F32", "3", "8,20") + "}"),
            "f: tensors \"a\" [0, 12) and \"b\" [8, 20) overlap");
  EXPECT_EQ(message_for("{" + tensor("a", "F32", "3", "0,12") + "," +
                        tensor("a", "F32", "3", "12,24") + "}"),
            "f: tensor \"a\" appears twice");
  EXPECT_EQ(message_for("{" + tensor("a", "F32", "3", "0,12") + "," +
                        tensor("\\u0061", "F32", "3", "12,24") + "}"),
            "f: tensor \"a\" appears twice");
}

TEST(SafetensorsHeader, RefusesEverythingThatIsNoHeader) {
  for (const char* json :
       {"",
        "[]",
        "1",
        "null",
        "\"a\"",
        "{",
        "{}{}",
        "{\"a\":1}",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}",
        "{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[null],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{}}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}",
        "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":{\"b\":{}},\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"__metadata__\":1}",
        "{\"__metadata__\":{\"a\":1}}",
        "{\"__metadata__\":{\"a\":{}}}",
        "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}",
        "{\"__metadata__\":{},\"__metadata__\":{}}",
        "{\"\xff\":1}"}) {
    EXPECT_NE(message_for(json), "no error") << json;
  }
  EXPECT_EQ(message_for("{\"a\":1}"), "f: \"a\" must be an object, not a number");
  EXPECT_EQ(message_for("[]"), "f: the header must be a JSON object");
  EXPECT_EQ(message_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}"),
            "f: tensor \"a\" has no data_offsets");
  EXPECT_EQ(message_for("{\"a\\u001b[2J\":1}"), "f: \"a?[2J\" must be an object, not a number");
  EXPECT_NE(message_for(std::string(100000, '[')), "no error");
}

/// What the header promises to whoever reads through it.
void expect_sound(const SafetensorsHeader& header, std::int64_t file_size) {
  for (const SafetensorInfo& tensor : header.tensors) {
    ASSERT_LE(0, tensor.begin);
    ASSERT_LE(tensor.begin, tensor.end);
    ASSERT_LE(header.data_begin + tensor.end, file_size);
    ASSERT_EQ(header.find(tensor.name), &tensor);
  }
}

TEST(SafetensorsHeader, SurvivesDamageAnywhere) {
  const std::string path =
      std::string(CARDLOOM_SOURCE_DIR) + "/tests/golden/tiny/ckpt/model-00002-of-00003.safetensors";
  const std::string good = read_bytes(path);
  ASSERT_TRUE(parse(good));
  std::mt19937 random(20240601);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, good.data(), sizeof header_bytes);
  const std::string pieces[] = {"0", "9",  "-", ",",  "[",  "]",  "{",
                                "}", "\"", ":", "\\", "\0", "9e9"};
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (std::size_t change = 0; change <= below(3); ++change) {
      const std::size_t place = below(header_bytes + 8);
      const std::string& piece = pieces[below(std::size(pieces))];
      if (below(2) == 0) {
        bytes[place] = static_cast<char>(below(256));
      } else {
        bytes.replace(place, std::min(piece.size(), bytes.size() - place), piece);
      }
    }
    if (below(4) == 0) bytes.resize(below(bytes.size() + 1));
    const Result<SafetensorsHeader> header = parse(bytes);
    if (header) {
      expect_sound(*header, static_cast<std::int64_t>(bytes.size()));
    } else {
      ASSERT_FALSE(header.error().message.empty());
    }
  }
}

}  // namespace
}  // namespace cardloom
