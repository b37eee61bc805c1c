#include "cardloom/tokenizer/unicode_classes.h"

#include <gtest/gtest.h>

namespace cardloom {
namespace {

TEST(UnicodeClasses, TableIsSortedAndMaximal) {
  const auto ranges = char_ranges();
  ASSERT_GT(ranges.size(), 500U);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    ASSERT_LE(ranges[i].first, ranges[i].last);
    ASSERT_NE(ranges[i].char_class, CharClass::kOther);
    if (i == 0) continue;
    ASSERT_GT(ranges[i].first, ranges[i - 1].last);
    ASSERT_TRUE(ranges[i].first > ranges[i - 1].last + 1 ||
                ranges[i].char_class != ranges[i - 1].char_class);
  }
}

TEST(UnicodeClasses, AsciiShortcutAgreesWithTheTable) {
  for (char32_t c = 0; c < 0x80; ++c) {
    CharClass expected = CharClass::kOther;
    for (const CharRange& range : char_ranges()) {
      if (c >= range.first && c <= range.last) expected = range.char_class;
    }
    EXPECT_EQ(char_class(c), expected) << static_cast<int>(c);
  }
}

TEST(UnicodeClasses, KnowsScripts) {
  for (const char32_t c : U"aZéßſΩж中あ한אع\u00AA\u02B0\U00020000") {
    if (c != 0) {
      EXPECT_EQ(char_class(c), CharClass::kLetter) << static_cast<int>(c);
    }
  }
  for (const char32_t c : U"09½²Ⅷ٣७〇①") {
    if (c != 0) {
      EXPECT_EQ(char_class(c), CharClass::kNumber) << static_cast<int>(c);
    }
  }
  for (const char32_t c :
       U"\t\n\v\f\r \u0085\u00A0\u1680\u2000\u200A\u2028\u2029\u202F\u205F\u3000") {
    if (c != 0) {
      EXPECT_EQ(char_class(c), CharClass::kSpace) << static_cast<int>(c);
    }
  }
  // Control characters, marks, symbols, zero-width and unassigned: neither.
  for (const char32_t c : {U'\0', U'\x1C', U'_', U'\u0301', U'\u180E', U'\u200B', U'\uFEFF',
                           U'\uFFFD', U'\U0001F600', U'\U0010FFFF', U'\u0378'}) {
    EXPECT_EQ(char_class(c), CharClass::kOther) << static_cast<int>(c);
  }
}

}  // namespace
}  // namespace cardloom
