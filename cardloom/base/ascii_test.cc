#include "cardloom/base/ascii.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>

namespace cardloom {
namespace {

TEST(Ascii, KnowsTheHexadecimalDigits) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool is_digit = byte < 128 && std::isxdigit(byte) != 0;
    EXPECT_EQ(hex_value(c), is_digit ? std::stoi(std::string(1, c), nullptr, 16) : -1) << byte;
  }
}

TEST(Ascii, LowersLettersOfAsciiOnly) {
  EXPECT_EQ(lower_case("Content-TYPE: [AZ]@{}"), "content-type: [az]@{}");
  EXPECT_EQ(lower_case("\xC3\x84\xC4\xB0"), "\xC3\x84\xC4\xB0");
}

TEST(Ascii, StripsWhiteSpace) {
  EXPECT_EQ(stripped(" \n a b\t"), "a b");
  EXPECT_EQ(stripped(" \n"), "");
  EXPECT_EQ(stripped("a"), "a");
}

TEST(Ascii, CountsEdits) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("port", "prot"), 2U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("sitting", "kitten"), 3U);
}

TEST(Ascii, DecodesPercentSigns) {
  EXPECT_EQ(percent_decode("/a%20b+c%2Fd%e4"), "/a b+c/d\xE4");
  EXPECT_EQ(percent_decode("%00"), std::string(1, '\0'));
  EXPECT_EQ(percent_decode("%2541"), "%41");  // once, not again
  for (const char* text : {"%", "a%", "%4", "%4g", "%g4", "%%41", "% 41"}) {
    EXPECT_EQ(percent_decode(text), std::nullopt) << text;
  }
}

TEST(Ascii, EscapesMarkup) {
  EXPECT_EQ(escape_markup("<a href=\"?x&y\">"), "&lt;a href=&quot;?x&amp;y&quot;&gt;");
}

TEST(Ascii, ParsesWholeNumbersOnly) {
  EXPECT_EQ(parse_number<std::int64_t>("-12"), -12);
  EXPECT_EQ(parse_number<double>("2.5e3"), 2500);
  EXPECT_EQ(parse_number<std::uint8_t>("255"), 255);
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "0x1", "-", "1.5"}) {
    EXPECT_EQ(parse_number<std::int64_t>(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_number<std::uint8_t>("256"), std::nullopt);
  EXPECT_EQ(parse_number<std::uint64_t>("-1"), std::nullopt);
  EXPECT_EQ(parse_number<std::int64_t>("9223372036854775808"), std::nullopt);
}

}  // namespace
}  // namespace cardloom
