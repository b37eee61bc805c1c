#include <random>
#include <regex>

#include "cardloom/grammar/test_support.h"

namespace cardloom {
namespace {

using grammar_test::accepts;
using grammar_test::byte_tokenizer;
using grammar_test::ListTokenizer;
using grammar_test::Sampler;

class RegexTest : public testing::Test {
 protected:
  [[nodiscard]] bool matches(std::string_view pattern, std::string_view text) {
    const auto grammar = compiler_.regex(pattern);
    EXPECT_TRUE(grammar.has_value()) << pattern << ": " << grammar.error().describe();
    return grammar && accepts(compiler_, *grammar, tokenizer_, tokenizer_.stop_id(), text);
  }

  ListTokenizer tokenizer_ = byte_tokenizer();
  GrammarCompiler compiler_{tokenizer_, tokenizer_.vocab_size(), {tokenizer_.stop_id()}};
};

struct Case {
  const char* pattern;
  std::vector<const char*> yes;
  std::vector<const char*> no;
};

TEST_F(RegexTest, MatchesWholeTexts) {
  const std::vector<Case> cases = {
      {"abc", {"abc"}, {"", "ab", "abcd", "xabc"}},
      {"^abc$", {"abc"}, {"ab", "abcd"}},
      {"a|b|", {"a", "b", ""}, {"ab", "c"}},
      {"(?:ab)+c?", {"ab", "ababc"}, {"", "c", "aba"}},
      {"(?<year>\\d{4})-(?P<m>\\d\\d)", {"2024-05"}, {"224-05", "2024-5", "２024-05"}},
      {"a{2}b{1,}c{0,2}", {"aab", "aabbbcc"}, {"ab", "aac", "aabccc"}},
      {"a*?b+?c??", {"b", "aabbc"}, {"a", "c"}},
      {".", {"a", "你", "😀", "\t"}, {"", "\n", "ab", "\xE4\xBD", "\xFF", "\xE2\x80\xA8"}},
      {"[^a]", {"b", "é", "\n", "😀"}, {"a", "bb", "\xC3"}},
      {"[a-cx-z_-]", {"a", "b", "y", "-", "_"}, {"d", "w"}},
      {"[\\d.]+", {"1.2.3"}, {"1a"}},
      {"[]", {}, {"", "a"}},
      {"[^]", {"a", "\n"}, {""}},
      {"\\w\\W\\s\\S\\D", {"a- xy"}, {"--  1", "a- x1", "a-  y"}},
      {"\\x41\\u4f60\\u{1F600}\\ud83d\\ude00", {"A你😀😀"}, {"A你😀"}},
      {"\\.\\*\\\\\\/\\{", {".*\\/{"}, {"aa"}},
      {"{\"a\": \\d}", {"{\"a\": 1}"}, {"{\"a\": x}"}},
      {"(a|ab)(c|bcd)", {"ac", "abc", "abcd", "abbcd"}, {"a", "abb"}},
      {"(a*)*b", {"b", "aaab"}, {"a"}},
      {"((a?){3}){2}", {"", "aaaaaa"}, {"aaaaaaa"}},
      {"[你-佢]", {"你", "佡"}, {"a"}},
  };
  for (const Case& one : cases) {
    if (one.yes.empty()) {
      EXPECT_EQ(compiler_.regex(one.pattern).error().code, ErrorCode::kInvalidArgument);
      continue;
    }
    for (const char* text : one.yes) EXPECT_TRUE(matches(one.pattern, text)) << one.pattern << text;
    for (const char* text : one.no) EXPECT_FALSE(matches(one.pattern, text)) << one.pattern << text;
  }
}

/// std::regex is the judge of random patterns over two letters, for all short texts.
TEST_F(RegexTest, AgreesWithTheStandardLibrary) {
  std::mt19937 random(17);
  const auto pick = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  const auto make = [&](auto& self, int depth) -> std::string {
    const std::uint32_t kind = depth == 0 ? pick(3) : pick(9);
    switch (kind) {
      case 0:
        return "a";
      case 1:
        return "b";
      case 2:
        return pick(2) == 0 ? "[ab]" : "[^a]";
      case 3:
        return "(" + self(self, depth - 1) + "|" + self(self, depth - 1) + ")";
      case 4:
        return "(?:" + self(self, depth - 1) + ")*";
      case 5:
        return "(" + self(self, depth - 1) + ")?";
      case 6:
        return "(" + self(self, depth - 1) + "){1,2}";
      default:
        return self(self, depth - 1) + self(self, depth - 1);
    }
  };
  std::vector<std::string> texts = {""};
  for (std::size_t i = 0; i < texts.size() && texts[i].size() < 5; ++i) {
    for (const char c : {'a', 'b'}) texts.push_back(texts[i] + c);
  }
  for (int i = 0; i < 200; ++i) {
    const std::string pattern = make(make, 4);
    const std::regex expected(pattern);
    const auto grammar = *compiler_.regex(pattern);
    for (const std::string& text : texts) {
      ASSERT_EQ(accepts(compiler_, grammar, tokenizer_, tokenizer_.stop_id(), text),
                std::regex_match(text, expected))
          << pattern << " on " << text;
    }
  }
}

TEST_F(RegexTest, SamplesMatch) {
  Sampler sampler(tokenizer_, tokenizer_.stop_id(), 11);
  for (const char* pattern :
       {"[a-z]{2,8}@[a-z]+\\.(com|org)", "(\\+|-)?\\d{1,3}(\\.\\d+)?", "(foo|bar|baz){2,4}"}) {
    const auto grammar = *compiler_.regex(pattern);
    for (int i = 0; i < 50; ++i) {
      const auto text = sampler.sample(compiler_, grammar, 12);
      ASSERT_TRUE(text.has_value()) << pattern;
      EXPECT_TRUE(std::regex_match(*text, std::regex(pattern))) << pattern << ": " << *text;
    }
  }
}

TEST_F(RegexTest, RefusesWithTheByte) {
  struct Refusal {
    const char* pattern;
    ErrorCode code;
    const char* text;  ///< in message or detail
  };
  const std::vector<Refusal> refusals = {
      {"a(?=b)", ErrorCode::kUnimplemented, "at byte 1 of 6"},
      {"a(?<!b)", ErrorCode::kUnimplemented, "look-around"},
      {"(?i)a", ErrorCode::kUnimplemented, "at byte 0 of 5"},
      {"(a)\\1", ErrorCode::kUnimplemented, "back-reference"},
      {"\\bfoo\\b", ErrorCode::kUnimplemented, "\\b"},
      {"\\p{L}+", ErrorCode::kUnimplemented, "\\p"},
      {"a^b", ErrorCode::kUnimplemented, "^ that is not at the start"},
      {"a$b", ErrorCode::kUnimplemented, "$ that is not at the end"},
      {"(^a|b)", ErrorCode::kUnimplemented, "^ inside a group"},
      {"(a$)", ErrorCode::kUnimplemented, "$ that is not at the end"},
      {"a++", ErrorCode::kUnimplemented, "possessive"},
      {"\\012", ErrorCode::kUnimplemented, "octal"},
      {"(a", ErrorCode::kInvalidArgument, "at byte 0 of 2"},
      {"a)", ErrorCode::kInvalidArgument, "at byte 1 of 2"},
      {"[a", ErrorCode::kInvalidArgument, "at byte 0 of 2"},
      {"*a", ErrorCode::kInvalidArgument, "at byte 0 of 2"},
      {"a**", ErrorCode::kInvalidArgument, "at byte 2 of 3"},
      {"a{2}{3}", ErrorCode::kInvalidArgument, "at byte 4 of 7"},
      {"a{3,2}", ErrorCode::kInvalidArgument, "from more to fewer"},
      {"[b-a]", ErrorCode::kInvalidArgument, "at byte 1 of 5"},
      {"[a-\\d]", ErrorCode::kInvalidArgument, "ends in a class"},
      {"\\q", ErrorCode::kInvalidArgument, "unknown escape"},
      {"\\x4", ErrorCode::kInvalidArgument, "hexadecimal"},
      {"\\ud83d", ErrorCode::kInvalidArgument, "code point"},
      {"\\ud83d\\u0041", ErrorCode::kInvalidArgument, "surrogate"},
      {"\\u{110000}", ErrorCode::kInvalidArgument, "code point"},
      {"a\\", ErrorCode::kInvalidArgument, "backslash"},
      {"\xFF", ErrorCode::kInvalidArgument, "UTF-8"},
      {"a[]", ErrorCode::kInvalidArgument, "nothing satisfies"},
  };
  for (const Refusal& refusal : refusals) {
    const auto grammar = compiler_.regex(refusal.pattern);
    ASSERT_FALSE(grammar.has_value()) << refusal.pattern;
    EXPECT_EQ(grammar.error().code, refusal.code) << refusal.pattern;
    EXPECT_NE((grammar.error().message + grammar.error().detail).find(refusal.text),
              std::string::npos)
        << refusal.pattern << ": " << grammar.error().describe();
  }
}

}  // namespace
}  // namespace cardloom
