#include "cardloom/base/utf8.h"

#include <gtest/gtest.h>

#include <vector>

namespace cardloom {
namespace {

/// U+FFFD in UTF-8.
const std::string kR = "\xEF\xBF\xBD";

TEST(Utf8, EveryCodePointSurvivesTheRoundTrip) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    const bool is_surrogate = c >= 0xD800 && c <= 0xDFFF;
    std::string bytes;
    append_utf8(bytes, c);
    const Utf8Step step = next_code_point(bytes, 0);
    ASSERT_EQ(step.kind, Utf8Kind::kValid);
    ASSERT_EQ(step.num_bytes, bytes.size());
    ASSERT_EQ(step.code_point, is_surrogate ? kReplacementCharacter : c);
  }
  std::string bytes;
  append_utf8(bytes, 0x110000);
  EXPECT_EQ(bytes, kR);
}

// The right-hand sides are what Python 3.11 prints for bytes.decode("utf-8", errors="replace").
TEST(Utf8, ReplacesAsPythonDoes) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ""},
      {"caf\xC3\xA9", "caf\xC3\xA9"},
      {"\x80", kR},
      {"\xC0\xAF", kR + kR},
      {"\xC3", kR},
      {"\xC3(", kR + "("},
      {"\xE4\xBD", kR},
      {"\xE4\xBD"
       "a",
       kR + "a"},
      {"\xE0\x80\x80", kR + kR + kR},
      {"\xED\xA0\x80", kR + kR + kR},
      {"\xF0\x9F\x98", kR},
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", kR + "\xF0\x9F\x98\x80"},
      {"\xF0\x80\x80\x80", kR + kR + kR + kR},
      {"\xF4\x90\x80\x80", kR + kR + kR + kR},
      {"\xF8\x88\x80\x80\x80", kR + kR + kR + kR + kR},
      {"\xFF\xFE", kR + kR},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
       "A",
       kR + kR + kR + kR + "A"},
  };
  for (const auto& [bytes, expected] : cases) {
    EXPECT_EQ(replace_invalid_utf8(bytes), expected) << testing::PrintToString(bytes);
    EXPECT_EQ(is_valid_utf8(bytes), bytes == expected);
  }
}

TEST(Utf8, KnowsWhatLaterBytesMayComplete) {
  EXPECT_EQ(num_truncated_bytes(""), 0U);
  EXPECT_EQ(num_truncated_bytes("abc"), 0U);
  EXPECT_EQ(num_truncated_bytes("\xC3"), 1U);
  EXPECT_EQ(num_truncated_bytes("a\xE4\xBD"), 2U);
  EXPECT_EQ(num_truncated_bytes("a\xE4\xBD\xA0"), 0U);
  EXPECT_EQ(num_truncated_bytes("\xF0\x9F\x98"), 3U);
  EXPECT_EQ(num_truncated_bytes("\xF0\x9F\x98\x80"), 0U);
  EXPECT_EQ(num_truncated_bytes("\xF0\x80"), 0U) << "overlong: nothing can complete it";
  EXPECT_EQ(num_truncated_bytes("\xED\xA0"), 0U) << "a surrogate";
  EXPECT_EQ(num_truncated_bytes("\xC3\x80\x80\x80"), 0U);
  EXPECT_EQ(num_truncated_bytes("\xFF"), 0U);
}

}  // namespace
}  // namespace cardloom
