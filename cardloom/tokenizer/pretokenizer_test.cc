#define PCRE2_CODE_UNIT_WIDTH 8
#include "cardloom/tokenizer/pretokenizer.h"

#include <gtest/gtest.h>
#include <pcre2.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cardloom/base/utf8.h"
#include "cardloom/tokenizer/unicode_classes.h"

namespace cardloom {
namespace {

std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> found;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = piece_end(text, begin);
    if (end <= begin || end > text.size()) {
      ADD_FAILURE() << "piece [" << begin << ", " << end << ") of " << text.size();
      break;
    }
    found.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return found;
}

/// GLM-4's pattern under PCRE2, with \s written out as White_Space: PCRE2's own has U+180E too.
class Oracle {
 public:
  explicit Oracle(const std::string& pattern) {
    int error = 0;
    std::size_t offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
    if (!code_) throw std::runtime_error("the oracle's pattern does not compile");
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
    match_.reset(pcre2_match_data_create(1, nullptr));
  }

  [[nodiscard]] std::vector<std::string> pieces(std::string_view text) const {
    std::vector<std::string> found;
    for (std::size_t begin = 0; begin < text.size();) {
      const int result = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                     text.size(), begin, PCRE2_ANCHORED, match_.get(), nullptr);
      if (result < 1) throw std::runtime_error("the oracle found no piece");
      const std::size_t end = pcre2_get_ovector_pointer(match_.get())[1];
      found.emplace_back(text.substr(begin, end - begin));
      begin = end;
    }
    return found;
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
};

const std::string kSpaces =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

const std::string kPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^)" + kSpaces +
    R"(\p{L}\p{N}]+[\r\n]*|[)" + kSpaces + R"(]*[\r\n]+|[)" + kSpaces + R"(]+(?![^)" + kSpaces +
    R"(])|[)" + kSpaces + "]+";

TEST(Pretokenizer, SplitsAsThePatternSays) {
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces(""), Pieces{});
  EXPECT_EQ(pieces("Hello, world!"), (Pieces{"Hello", ",", " world", "!"}));
  EXPECT_EQ(pieces("it's DON'T we'LL 'x"),
            (Pieces{"it", "'s", " DON", "'T", " we", "'LL", " '", "x"}));
  EXPECT_EQ(pieces("1234567"), (Pieces{"123", "456", "7"}));
  EXPECT_EQ(pieces("a  b"), (Pieces{"a", " ", " b"}));
  EXPECT_EQ(pieces("a \n\n  b  "), (Pieces{"a", " \n\n", " ", " b", "  "}));
  EXPECT_EQ(pieces("x;\r\n\r\ny"), (Pieces{"x", ";\r\n\r\n", "y"}));
  EXPECT_EQ(pieces("\tif\xC2\xA0x"), (Pieces{"\tif", "\xC2\xA0x"}));
  EXPECT_EQ(pieces("'\xC5\xBF!"), (Pieces{"'\xC5\xBF", "!"})) << "U+017F folds to s";
  EXPECT_EQ(pieces(std::string("\0a\0\0", 4)),
            (Pieces{std::string("\0a", 2), std::string("\0\0", 2)}));
}

TEST(Pretokenizer, KeepsBytesThatAreNotUtf8) {
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces("a\xFF\xFE"
                   "b"),
            (Pieces{"a", "\xFF\xFE", "b"}));
  EXPECT_EQ(pieces("\xFF"
                   "b \xE4\xBD"),
            (Pieces{"\xFF"
                    "b",
                    " \xE4\xBD"}));
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string text(random() % 24, '\0');
    for (char& c : text) c = static_cast<char>(random());
    std::string together;
    std::string replaced;
    for (const std::string& piece : pieces(text)) {
      together += piece;
      replaced += replace_invalid_utf8(piece) + "|";
    }
    ASSERT_EQ(together, text);
    // Pieces fall where they would fall, had the bytes been replaced by U+FFFD before.
    std::string expected;
    for (const std::string& piece : pieces(replace_invalid_utf8(text))) expected += piece + "|";
    ASSERT_EQ(replaced, expected) << testing::PrintToString(text);
  }
}

TEST(Pretokenizer, AgreesWithPcre2OnRandomStrings) {
  const Oracle oracle(kPattern);
  const std::vector<std::string> alphabet = {"'",
                                             "'",
                                             "s",
                                             "S",
                                             "\xC5\xBF",
                                             "t",
                                             "T",
                                             "r",
                                             "R",
                                             "e",
                                             "E",
                                             "v",
                                             "V",
                                             "m",
                                             "M",
                                             "l",
                                             "L",
                                             "d",
                                             "D",
                                             "'s",
                                             "'LL",
                                             "'Re",
                                             "\xE2\x84\xAA",
                                             "a",
                                             "Z",
                                             "é",
                                             "ß",
                                             "ж",
                                             "Ω",
                                             "中",
                                             "你",
                                             "あ",
                                             "한",
                                             "א",
                                             "\u0301",
                                             "\u20DD",
                                             "\u0903",
                                             "0",
                                             "7",
                                             "42",
                                             "٣",
                                             "७",
                                             "½",
                                             "Ⅷ",
                                             "①",
                                             "〇",
                                             " ",
                                             " ",
                                             "  ",
                                             "\t",
                                             "\v",
                                             "\f",
                                             "\n",
                                             "\n",
                                             "\r",
                                             "\r\n",
                                             "\u0085",
                                             "\u00A0",
                                             "\u1680",
                                             "\u2003",
                                             "\u2028",
                                             "\u2029",
                                             "\u202F",
                                             "\u205F",
                                             "\u3000",
                                             "\u180E",
                                             "\u200B",
                                             "\uFEFF",
                                             "😀",
                                             "👨‍👩‍👧",
                                             "🇨🇳",
                                             ".",
                                             ",",
                                             "!",
                                             "_",
                                             "-",
                                             "<|user|>",
                                             "，",
                                             "。",
                                             "\x1C",
                                             "\x1F",
                                             "\uFFFD",
                                             "\U0010FFFF",
                                             std::string(1, '\0'),
                                             "\uE000",
                                             "\u0378"};
  std::mt19937 random(20240605);
  for (int i = 0; i < 300000; ++i) {
    std::string text;
    for (std::size_t n = random() % 14; n > 0; --n) text += alphabet[random() % alphabet.size()];
    ASSERT_EQ(pieces(text), oracle.pieces(text)) << testing::PrintToString(text);
  }
}

TEST(Pretokenizer, AgreesWithPcre2OnEveryCharacter) {
  char version[64] = {};
  ASSERT_GT(pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version), 0);
  if (std::string_view(version).substr(0, 3) != "14.") {
    GTEST_SKIP() << "this PCRE2 knows Unicode " << version << ", our table 14.0";
  }
  const Oracle oracle(kPattern);
  for (char32_t c = 1; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string bytes;
    append_utf8(bytes, c);
    // Beside letters, digits, spaces and itself, each class shows.
    const std::string text = "a" + bytes + "b1" + bytes + " " + bytes + bytes + bytes + "'" + bytes;
    ASSERT_EQ(pieces(text), oracle.pieces(text)) << "U+" << std::hex << static_cast<unsigned>(c);
  }
}

TEST(Pretokenizer, TakesTimeLinearInTheText) {
  for (const std::string unit : {"a", " ", "\n", " \n", "!", "'", "\xFF", "1", "\u3000", "'s "}) {
    std::string text;
    while (text.size() < 4 << 20) text += unit;
    std::size_t num_bytes = 0;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = piece_end(text, begin);
      num_bytes += end - begin;
      begin = end;
    }
    EXPECT_EQ(num_bytes, text.size());
  }
}

}  // namespace
}  // namespace cardloom
