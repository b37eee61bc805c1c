#include "cardloom/tokenizer/special_tokens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace cardloom {
namespace {

/// A config of one entry `key: value`.
Error error_of(const std::string& key, const std::string& value) {
  const std::string text = fmt::format(
      R"({{"added_tokens_decoder": {{"300": {{"content": "<a>"}}, "{}": {}}}}})", key, value);
  const Result<SpecialTokens> tokens = SpecialTokens::parse(text, "c.json", 300);
  EXPECT_FALSE(tokens) << text;
  return tokens ? Error{} : tokens.error();
}

TEST(SpecialTokens, FindsTheFirstAndThenTheLongest) {
  const Result<SpecialTokens> tokens = SpecialTokens::parse(
      R"({"added_tokens_decoder": {"305": {"content": "<a>"}, "301": {"content": "<a><b>"},
          "302": {"content": "[M]", "special": true, "lstrip": false}}})",
      "c.json", 300);
  ASSERT_TRUE(tokens) << tokens.error().describe();
  EXPECT_EQ(tokens->id("<a>"), 305);
  EXPECT_EQ(tokens->id("<"), std::nullopt);
  EXPECT_TRUE(tokens->contains(301));
  EXPECT_FALSE(tokens->contains(300));
  EXPECT_EQ(tokens->end_id(), 306);
  const std::string text = "<[x<a<a><a><b>[M]";
  const auto first = tokens->find(text, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->begin, 5U);
  EXPECT_EQ(first->end, 8U);
  EXPECT_EQ(first->id, 305);
  EXPECT_EQ(tokens->find(text, 6)->id, 301) << "the longest of those that begin together";
  EXPECT_EQ(tokens->find(text, 9)->id, 302);
  EXPECT_FALSE(tokens->find(text, 15));
  EXPECT_FALSE(tokens->find("", 0));
}

TEST(SpecialTokens, NoneIsFine) {
  const Result<SpecialTokens> tokens =
      SpecialTokens::parse(R"({"added_tokens_decoder": {}})", "c.json", 300);
  ASSERT_TRUE(tokens);
  EXPECT_FALSE(tokens->find("<|user|>", 0));
  EXPECT_EQ(tokens->end_id(), 0);
}

TEST(SpecialTokens, NamesTheWrongEntry) {
  const std::string entry = "c.json: added_tokens_decoder";
  EXPECT_EQ(error_of("299", R"({"content": "<b>"})").message,
            entry + "[\"299\"]: the id must be 300 to 16777216, as ids below are ordinary tokens");
  EXPECT_EQ(error_of("16777217", R"({"content": "<b>"})").code, ErrorCode::kInvalidArgument);
  for (const char* key : {"x", "", "301 ", "30x", "99999999999", "3e2"}) {
    EXPECT_EQ(error_of(key, R"({"content": "<b>"})").message,
              fmt::format("{}[\"{}\"]: the key must be a token id", entry, key));
  }
  EXPECT_EQ(error_of("0300", R"({"content": "<b>"})").message,
            entry + "[\"0300\"]: this id is there twice");
  EXPECT_EQ(error_of("301", R"({"content": "<a>"})").message,
            entry + "[\"301\"].content is the same as that of \"300\"");
  EXPECT_EQ(error_of("301", "3").message, entry + "[\"301\"] must be an object");
  EXPECT_EQ(error_of("301", "{}").message, entry + "[\"301\"].content must be a string");
  EXPECT_EQ(error_of("301", R"({"content": 3})").message,
            entry + "[\"301\"].content must be a string");
  EXPECT_EQ(error_of("301", R"({"content": ""})").message,
            entry + "[\"301\"].content must have 1 to 256 bytes, has 0");
  EXPECT_EQ(error_of("301", R"({"content": "<b>", "rstrip": true})").code,
            ErrorCode::kUnimplemented);
  for (const char* text : {"[]", "{}", R"({"added_tokens_decoder": []})", "null"}) {
    EXPECT_EQ(SpecialTokens::parse(text, "c.json", 300).error().message,
              "c.json must hold an object \"added_tokens_decoder\"");
  }
  EXPECT_EQ(SpecialTokens::parse("{", "c.json", 300).error().message, "c.json is not valid JSON");
  std::string many = R"({"added_tokens_decoder": {)";
  for (int i = 0; i < 4097; ++i) many += fmt::format("{}\"{}\": 0", i == 0 ? "" : ",", i);
  EXPECT_EQ(SpecialTokens::parse(many + "}}", "c.json", 300).error().code,
            ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace cardloom
