// What a JSON Schema lets in and keeps out.
#include "cardloom/grammar/test_support.h"

namespace cardloom {
namespace {

using grammar_test::accepts;
using grammar_test::byte_tokenizer;
using grammar_test::Checker;
using grammar_test::ListTokenizer;
using grammar_test::parsed;
using grammar_test::Sampler;

struct Case {
  const char* schema;
  std::vector<const char*> yes;
  std::vector<const char*> no;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"true", {"1", "\"x\"", "[{}]", "null"}, {"", "x"}},
      {R"({"type":"boolean"})", {"true", "false", " true"}, {"null", "tru", "0", "true "}},
      {R"({"type":["null","integer"]})", {"null", "0", "-12"}, {"1.5", "-0", "\"\"", "01", "1e2"}},
      {R"({"type":"number"})", {"0", "-0.5", "1e10", "12.25E-3"}, {"1.", "1e", "1e400", "+1", "-"}},
      {R"({"type":"integer","minimum":-5,"maximum":120})",
       {"-5", "-1", "0", "9", "99", "100", "119", "120"},
       {"-6", "-10", "121", "1000", "-0", "00", "5.0"}},
      {R"({"type":"integer","exclusiveMinimum":9.5,"exclusiveMaximum":1000})",
       {"10", "11", "99", "999"},
       {"9", "1000", "1"}},
      {R"({"type":"integer","minimum":1e3})",
       {"1000", "1001", "999999999999999999"},
       {"999", "-1"}},
      {R"({"type":"integer","maximum":-7})", {"-7", "-8", "-70"}, {"-6", "0", "7"}},
      {R"({"type":"number","minimum":0,"maximum":1})",
       {"0", "1", "0.5", "0.0", "1.0", "1.00", "0.99999"},
       {"1.01", "-0.1", "2", "10", "1e0", ".5"}},
      {R"({"type":"number","exclusiveMinimum":0,"maximum":2.5})",
       {"0.1", "0.001", "1", "2.5", "2.49", "2.50"},
       {"0", "0.0", "2.51", "3", "-1"}},
      {R"({"type":"number","minimum":-1.25,"exclusiveMaximum":-0.5})",
       {"-1.25", "-1", "-0.51", "-0.6", "-1.2"},
       {"-0.5", "-1.26", "-2", "0", "-0.50"}},
      {R"({"type":"number","minimum":17.5})",
       {"17.5", "18", "17.6", "1000.25"},
       {"17.4", "17", "2"}},
      {R"({"type":"number","maximum":-100})", {"-100", "-100.5", "-101"}, {"-99.9", "0", "100"}},
      {R"({"type":"string"})",
       {R"("")", R"("a\"b\\\u00e9")", "\"你😀\"", R"("\ud83d\ude00")"},
       {"\"", R"("\ud83d")", R"("\z")", "\"\t\"", "\"\xC3\""}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("你好吗")", R"("\n\ud83d\ude00")", R"("😀😀")"},
       {R"("a")", R"("abcd")", R"("")", R"("\ud83d\ude00")"}},
      {R"({"type":"string","minLength":300,"maxLength":70000})", {}, {R"("a")"}},
      {R"({"type":"string","maxLength":0})", {R"("")"}, {R"("a")"}},
      {R"({"type":"string","pattern":"^[a-c]{2,}$"})",
       {R"("ab")", R"("abcabc")"},
       {R"("a")", R"("abd")"}},
      {R"({"type":"string","pattern":"b+"})",
       {R"("b")", R"("abc")", R"("\nbb你")"},
       {R"("ac")", R"("")"}},
      {R"({"type":"string","pattern":"^a|b$"})", {R"("ax")", R"("xb")"}, {R"("xa")", R"("bx")"}},
      {R"({"type":"string","pattern":"^[ \\n\"\\\\]$"})",
       {R"("\n")", R"("\"")", R"("\\")", R"(" ")"},
       {"\"\n\"", R"("a")", R"("\u0022")"}},
      {R"({"type":"string","pattern":"^\\x01$"})", {"\"\\u0001\""}, {R"("")"}},
      {R"({"type":"string","pattern":"^a*b?$","minLength":2,"maxLength":3})",
       {R"("aa")", R"("aab")", R"("aaa")"},
       {R"("a")", R"("b")", R"("aaab")", R"("")"}},
      {R"({"format":"date"})",
       {R"("2024-02-29")", R"("2023-12-31")", R"("2000-02-29")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2023-04-31")", R"("2023-13-01")", "1"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-05-06T07:08:09Z")", R"("2024-05-06T07:08:09.123+08:00")"},
       {R"("2024-05-06 07:08:09Z")", R"("2024-05-06T24:08:09Z")"}},
      {R"({"type":"string","format":"uuid"})",
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {R"({"type":"string","format":"ipv4"})",
       {R"("127.0.0.1")", R"("255.255.255.255")"},
       {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"}},
      {R"({"type":"string","format":"email"})", {R"("a.b@c-d.org")"}, {R"("a@b")", R"("@c.org")"}},
      {R"({"type":"string","format":"uri"})", {R"("https://a.org/x?y=z#w")"}, {R"("a.org")"}},
      {R"({"enum":["a","ab",1,12,null,true,{"x":[1,"y"]},[]]})",
       {R"("a")", R"("ab")", "1", "12", "null", "true", R"({"x":[1,"y"]})", R"({ "x": [1, "y"] })",
        "[]"},
       {R"("b")", "2", "121", "{}", R"({"x":[1]})", R"({"x":[1,"y"],"z":1})"}},
      {R"({"type":"string","enum":["a",1,"b"]})", {R"("a")", R"("b")"}, {"1"}},
      {R"({"const":"\"\n\u0001"})", {R"("\"\n\u0001")"}, {R"("")"}},
      {R"({"const":0.5})", {"0.5"}, {"5E-1", "0"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{}},
          "required":["a","c"],"additionalProperties":false})",
       {R"({"a":1,"c":null})", R"({"a":1,"b":"x","c":[]})", R"({ "a": 1, "c": {} })"},
       {"{}", R"({"a":1})", R"({"c":1,"a":1})", R"({"a":1,"b":2,"c":1})", R"({"a":1,"c":1,"d":1})",
        R"({"a":1,"a":1,"c":1})", R"({"a":1,,"c":1})", R"({,"a":1,"c":1})", R"({"a":1,"c":1,})"}},
      {R"({"properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
       {"{}", R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"},
       {R"({"c":1})", R"({"b":1,"a":2})", "1", R"({,"b":1})"}},
      {R"({"type":"object","properties":{"ab":{"type":"integer"}},"additionalProperties":{"type":"null"}})",
       {R"({"ab":1})", R"({"a":null})", R"({"abc":null,"":null})", R"({"ab":1,"x":null})"},
       {R"({"ab":null})", R"({"\u0061b":null})", R"({"x":null,"ab":null})", R"({"a":1})"}},
      {R"({"type":"object","required":["你"]})",
       {R"({"你":1})", R"({"你":1,"x":2})"},
       {"{}", R"({"x":2})"}},
      {R"({"type":"object","additionalProperties":false})", {"{}", "{ }"}, {R"({"a":1})"}},
      {R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$"},"additionalProperties":{"type":"integer"}})",
       {"{}", R"({"a":1,"bc":2})"},
       {R"({"A":1})", R"({"":1})", R"({"a":""})"}},
      {R"({"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"integer"}})",
       {R"({"a":1,"b":2})"},
       {R"({"c":1})"}},
      {R"({"type":"object","patternProperties":{"^x":{"type":"integer"}},"additionalProperties":false})",
       {"{}", R"({"x":1,"xy":2})"},
       {R"({"y":1})", R"({"x":""})"}},
      {R"({"type":"array"})", {"[]", "[1]", "[1,\"a\",[]]", "[ 1, 2 ]"}, {"[1,]", "[,1]", "["}},
      {R"({"items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[1]", "[1,2,3]", "[1, 2]"},
       {"[]", "[1,2,3,4]", "[\"a\"]"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":2})",
       {"[1,2]", "[1,2,3,4,5]"},
       {"[]", "[1]", "[1,2,]"}},
      {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"null"}})",
       {"[]", "[1]", "[1,\"a\"]", "[1,\"a\",null,null]"},
       {"[\"a\"]", "[1,2]", "[1,\"a\",1]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false,"minItems":2})",
       {"[1,\"a\"]"},
       {"[1]", "[1,\"a\",null]"}},
      {R"({"anyOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
                    {"type":"object","properties":{"a":{"type":"string"},"b":{}},"required":["a","b"]}]})",
       {R"({"a":1})", R"({"a":"x","b":[1]})"},
       {R"({"a":"x"})", R"({"a":1,"b":1})"}},
      {R"({"anyOf":[{"type":"array","items":{"type":"integer"}},{"type":"array","items":{"type":"number"},"maxItems":1}]})",
       {"[]", "[1,2]", "[1.5]"},
       {"[1.5,2]", "[1,1.5]"}},
      {R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k","x"]},
                    {"type":"object","properties":{"k":{"const":"b"},"y":{"type":"integer"}},"required":["k","y"]}]})",
       {R"({"k":"a","x":1})", R"({"k":"b","y":1})"},
       {R"({"k":"a","y":1})", R"({"k":"c","x":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},
          "anyOf":[{"required":["a"]},{"required":["b"]}]})",
       {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":1})"},
       {"{}"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
                    {"properties":{"a":{"minimum":3},"b":{"type":"null"}}}]})",
       {R"({"a":3})", R"({"a":4,"b":null})"},
       {R"({"a":2})", "{}", R"({"a":3,"b":1})"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{}},"additionalProperties":false},
                    {"properties":{"b":{}}}]})",
       {"{}", R"({"a":1})"},
       {R"({"b":1})", R"({"a":1,"b":1})"}},
      {R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"integer"}},"maximum":5})",
       {"5"},
       {"6", "\"\""}},
      {R"({"$ref":"#/$defs/a%20~1~0","$defs":{"a /~":{"type":"null"}}})", {"null"}, {"1"}},
      {R"({"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{
           "v":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#/$defs/tree"}}},
           "required":["v"],"additionalProperties":false}}})",
       {R"({"v":1})", R"({"v":1,"kids":[]})",
        R"({"v":1,"kids":[{"v":2,"kids":[{"v":3}]},{"v":4}]})"},
       {R"({"kids":[]})", R"({"v":1,"kids":[{}]})", R"({"v":1,"kids":[{"v":2}})"}},
      {R"({"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#"}}]})",
       {"null", "[]", "[[],[null,[]]]"},
       {"[1]", "[[]"}},
      {R"({"type":"string","title":"t","description":"d","default":1,"examples":[],"$schema":"s","$id":"i","strict":true,"x-y":1})",
       {R"("")"},
       {"1"}},
      {R"({"type":"object","properties":{"a":{"type":"string","maxLength":5},"b":false},"required":["a"]})",
       {R"({"a":"x"})"},
       {R"({"a":"x","b":1})"}},
  };
  return kCases;
}

class SchemaTest : public testing::Test {
 protected:
  ListTokenizer tokenizer_ = byte_tokenizer();
  GrammarCompiler compiler_{tokenizer_, tokenizer_.vocab_size(), {tokenizer_.stop_id()}};
};

TEST_F(SchemaTest, LetsInAndKeepsOut) {
  for (const Case& one : cases()) {
    const auto grammar = compiler_.json_schema(parsed(one.schema));
    ASSERT_TRUE(grammar.has_value()) << one.schema << ": " << grammar.error().describe();
    for (const char* text : one.yes) {
      EXPECT_TRUE(accepts(compiler_, *grammar, tokenizer_, tokenizer_.stop_id(), text))
          << one.schema << " should take " << text;
    }
    for (const char* text : one.no) {
      EXPECT_FALSE(accepts(compiler_, *grammar, tokenizer_, tokenizer_.stop_id(), text))
          << one.schema << " should not take " << text;
    }
  }
}

void expect_samples_are_valid(const Tokenizer& tokenizer, std::int32_t stop_id, int num_samples) {
  GrammarCompiler compiler(tokenizer, tokenizer.vocab_size(), {stop_id});
  Sampler sampler(tokenizer, stop_id, 7);
  for (const Case& one : cases()) {
    const json::value schema = parsed(one.schema);
    const auto grammar = *compiler.json_schema(schema);
    int num_ended = 0;
    for (int i = 0; i < num_samples; ++i) {
      const auto text = sampler.sample(compiler, grammar, 5 + 5 * (i % 8));
      if (!text) continue;
      ++num_ended;
      ASSERT_TRUE(Checker(schema).is_valid(parsed(*text))) << one.schema << ": " << *text;
    }
    EXPECT_GE(num_ended, std::max(1, num_samples / 2)) << one.schema;
  }
}

TEST_F(SchemaTest, SamplesAreInstances) {
  expect_samples_are_valid(tokenizer_, tokenizer_.stop_id(), 60);
}

TEST_F(SchemaTest, SamplesOfTheDemoTokenizerAreInstances) {
  const auto tokenizer = grammar_test::demo_tokenizer();
  ASSERT_NE(tokenizer, nullptr);
  expect_samples_are_valid(*tokenizer, *tokenizer->special_id("<|endoftext|>"), 20);
}

TEST_F(SchemaTest, SamplesOfTheRealTokenizerAreInstances) {
  const auto tokenizer = grammar_test::glm4_tokenizer();
  if (tokenizer == nullptr) GTEST_SKIP() << "no GLM-4 tokenizer beside the sources";
  expect_samples_are_valid(*tokenizer, *tokenizer->special_id("<|user|>"), 2);
}

/// Integers of every range of a grid, against arithmetic.
TEST_F(SchemaTest, IntegerRangesAreExact) {
  const std::vector<int> bounds = {-1001, -100, -99, -12, -1, 0, 1, 9, 10, 37, 99, 100, 250, 1000};
  for (const int low : bounds) {
    for (const int high : bounds) {
      if (low > high) continue;
      const json::value schema = {{"type", "integer"}, {"minimum", low}, {"maximum", high}};
      const auto grammar = *compiler_.json_schema(schema);
      for (int value = -1100; value <= 1100; value += (value > -130 && value < 130) ? 1 : 7) {
        ASSERT_EQ(
            accepts(compiler_, grammar, tokenizer_, tokenizer_.stop_id(), std::to_string(value)),
            low <= value && value <= high)
            << value << " in " << low << ".." << high;
      }
    }
  }
}

/// Decimals of two digits behind the point, likewise, with bounds taken in or not.
TEST_F(SchemaTest, NumberRangesAreExact) {
  const std::vector<int> bounds = {-1050, -205, -100, -99, -5, 0, 5, 50, 99, 100, 101, 205, 1050};
  for (const int low : bounds) {
    for (const int high : bounds) {
      for (const bool exclusive : {false, true}) {
        if (low + (exclusive ? 1 : 0) > high - (exclusive ? 1 : 0)) continue;
        const json::value schema = {{"type", "number"},
                                    {exclusive ? "exclusiveMinimum" : "minimum", low / 100.0},
                                    {exclusive ? "exclusiveMaximum" : "maximum", high / 100.0}};
        const auto grammar = *compiler_.json_schema(schema);
        for (int value = -1100; value <= 1100; value += (value > -210 && value < 210) ? 1 : 5) {
          if (value == 0) continue;
          const int size = std::abs(value);
          const std::string text = std::string(value < 0 ? "-" : "") + std::to_string(size / 100) +
                                   "." + std::to_string(size / 10 % 10) + std::to_string(size % 10);
          const bool expected =
              exclusive ? low < value && value < high : low <= value && value <= high;
          ASSERT_EQ(accepts(compiler_, grammar, tokenizer_, tokenizer_.stop_id(), text), expected)
              << text << " in " << low << ".." << high << " " << exclusive;
        }
      }
    }
  }
}

}  // namespace
}  // namespace cardloom
