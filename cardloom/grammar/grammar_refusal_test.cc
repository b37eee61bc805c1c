// What is refused, with which pointer, and what it may cost.
#include "cardloom/grammar/test_support.h"

namespace cardloom {
namespace {

using grammar_test::byte_tokenizer;
using grammar_test::ListTokenizer;
using grammar_test::parsed;

class RefusalTest : public testing::Test {
 protected:
  static bool says(const Error& error, std::string_view text) {
    return error.message.find(text) != std::string::npos;
  }

  ListTokenizer tokenizer_ = byte_tokenizer();
  GrammarCompiler compiler_{tokenizer_, tokenizer_.vocab_size(), {tokenizer_.stop_id()}};
};

struct Refusal {
  const char* schema;
  const char* pointer;
};

TEST_F(RefusalTest, KeywordsThatAreNotSupported) {
  const std::vector<Refusal> refusals = {
      {R"({"properties":{"age":{"type":"integer","multipleOf":2}}})", "/properties/age/multipleOf"},
      {R"({"type":"object","minProperties":1})", "/minProperties"},
      {R"({"type":"object","maxProperties":1})", "/maxProperties"},
      {R"({"type":"array","uniqueItems":true})", "/uniqueItems"},
      {R"({"type":"array","contains":{}})", "/contains"},
      {R"({"items":[{}]})", "/items"},
      {R"({"not":{}})", "/not"},
      {R"({"if":{},"then":{}})", "/if"},
      {R"({"dependentRequired":{}})", "/dependentRequired"},
      {R"({"nullable":true})", "/nullable"},
      {R"({"a~/b":1})", "/a~0~1b"},
      {R"({"type":"string","format":"hostname"})", "/format"},
      {R"({"type":"string","format":"date","pattern":"a"})", "/format"},
      {R"j({"type":"string","pattern":"(?=a)"})j", "/pattern"},
      {R"({"type":"string","enum":["a"],"minLength":1})", "/minLength"},
      {R"({"$ref":"https://example.org/x"})", "/$ref"},
      {R"({"$ref":"#name"})", "/$ref"},
      {R"({"$dynamicRef":"#x"})", "/$dynamicRef"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "/oneOf"},
      {R"({"oneOf":[{"properties":{"a":{}}},{"type":"string"}]})", "/oneOf"},
      {R"({"items":{"oneOf":[{"type":"object","properties":{"a":{"type":"string"}}},
          {"type":"object","properties":{"a":{"type":"null"}}}]}})",
       "/items/oneOf"},
      {R"({"properties":{"a":{}},"patternProperties":{"x":{}}})", "/patternProperties"},
      {R"({"properties":{"a":{}},"propertyNames":{"pattern":"x"}})", "/propertyNames"},
      {R"({"type":"number","minimum":0.12345678901234567})", "/minimum"},
      {R"({"type":"integer","maximum":1e30})", "/maximum"},
      {R"({"unevaluatedProperties":{}})", "/unevaluatedProperties"},
      {R"({"$defs":{"a":{"items":{"multipleOf":1}}},"prefixItems":[{"$ref":"#/$defs/a"}]})",
       "/$defs/a/items/multipleOf"},
      {R"({"anyOf":[{"type":"null"},{"allOf":[{"not":true}]}]})", "/anyOf/1/allOf/0/not"},
  };
  for (const Refusal& refusal : refusals) {
    const auto grammar = compiler_.json_schema(parsed(refusal.schema));
    ASSERT_FALSE(grammar.has_value()) << refusal.schema;
    EXPECT_EQ(grammar.error().code, ErrorCode::kUnimplemented)
        << refusal.schema << ": " << grammar.error().describe();
    EXPECT_TRUE(says(grammar.error(), "\"" + std::string(refusal.pointer) + "\""))
        << refusal.schema << ": " << grammar.error().describe();
  }
}

TEST_F(RefusalTest, WhatIsNoSchemaOrHasNoInstance) {
  const std::vector<Refusal> refusals = {
      {"1", ""},
      {"false", ""},
      {R"({"type":"int"})", "/type"},
      {R"({"type":["string",1]})", "/type/1"},
      {R"({"enum":1})", "/enum"},
      {R"({"enum":[]})", ""},
      {R"({"anyOf":[]})", "/anyOf"},
      {R"({"anyOf":{}})", "/anyOf"},
      {R"({"properties":[]})", "/properties"},
      {R"({"required":"a"})", "/required"},
      {R"({"required":[1]})", "/required/0"},
      {R"({"properties":{"a":1}})", "/properties/a"},
      {R"({"minLength":-1})", "/minLength"},
      {R"({"minLength":1.5})", "/minLength"},
      {R"({"minItems":"1"})", "/minItems"},
      {R"({"minimum":"1"})", "/minimum"},
      {R"({"type":"number","exclusiveMinimum":true})", "/exclusiveMinimum"},
      {R"({"pattern":1})", "/pattern"},
      {R"({"pattern":"("})", "/pattern"},
      {R"({"prefixItems":{}})", "/prefixItems"},
      {R"({"$ref":"#/$defs/x"})", "/$ref"},
      {R"({"$ref":1})", "/$ref"},
      {R"({"$ref":"#"})", ""},
      {R"({"$ref":"#/$defs/a",
           "$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"}]},"b":{"$ref":"#/$defs/a"}}})",
       "/$defs/a"},
      {R"({"type":"integer","minimum":5,"maximum":4})", ""},
      {R"({"type":"string","minLength":5,"maxLength":4})", ""},
      {R"({"type":"array","minItems":5,"maxItems":4})", ""},
      {R"({"allOf":[{"type":"string"},{"type":"integer"}]})", ""},
      {R"({"properties":{"a":false},"required":["a"]})", "/properties/a"},
      {R"({"properties":{"a":{"properties":{"b":{"const":1,"enum":[2]}},"required":["b"]}},
           "required":["a"]})",
       "/properties/a/properties/b"},
      {R"({"type":"object","additionalProperties":false,"required":["x"]})", "/required"},
      {R"({"type":"array","items":false,"minItems":1})", ""},
      {R"({"$ref":"#/$defs/a",
           "$defs":{"a":{"properties":{"n":{"$ref":"#/$defs/a"}},"required":["n"]}}})",
       "/$defs/a"},
      {R"({"type":"string","pattern":"^a{5}$","maxLength":3})", ""},
  };
  for (const Refusal& refusal : refusals) {
    const auto grammar = compiler_.json_schema(parsed(refusal.schema));
    ASSERT_FALSE(grammar.has_value()) << refusal.schema;
    EXPECT_EQ(grammar.error().code, ErrorCode::kInvalidArgument)
        << refusal.schema << ": " << grammar.error().describe();
    EXPECT_TRUE(says(grammar.error(), "\"" + std::string(refusal.pointer) + "\""))
        << refusal.schema << ": " << grammar.error().describe();
  }
}

std::string repeated(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

/// Input made to be dear ends at a limit, which the message names. All that may be dear is counted
/// in steps, so the bound of steps is the bound of time.
TEST_F(RefusalTest, HostileRegularExpressionsEndAtALimit) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"(a{1000}){1000}", "max_states"},
      {"((((a{100}){100}){100}){100}){100}", "max_states"},
      {"(((((){1000}){1000}){1000}){1000}){1000}", "max_states"},
      {"(a|b)*a(a|b){20}", "max_states"},
      {"(.*a){12}.{12}.*a.{14}", "max_s"},
      {"[^a]{100000}", "max_states"},
      {"a{99999999999999999999}", "max_states"},
      {repeated("(", 200) + "a" + repeated(")", 200), "max_depth"},
      {repeated("(", 30000), "max_depth"},
      {repeated("(a?b?c?)*", 3000), "max_s"},
      {repeated("(a|b|c|", 60) + repeated(")", 60) + "{1000}", "max_s"},
      {repeated("[\\w\\s\\D]", 4000), "max_s"},
      {repeated("a", 70000), "max_schema_bytes"},
      {repeated("x*", 20000), "max_s"},
      {"(x?){2000}", "max_s"},
      {"((x?y?){40}){40}", "max_s"},
  };
  for (const auto& [pattern, limit] : table) {
    const auto grammar = compiler_.regex(pattern);
    ASSERT_FALSE(grammar.has_value()) << pattern.substr(0, 60);
    EXPECT_EQ(grammar.error().code, ErrorCode::kResourceExhausted)
        << pattern.substr(0, 60) << ": " << grammar.error().describe();
    EXPECT_TRUE(says(grammar.error(), limit)) << grammar.error().describe();
  }
}

/// `count` definitions, each of which is `before` a reference to the next `after`.
std::string chain(int count, std::string_view before, std::string_view after) {
  std::string schema = R"({"$ref":"#/$defs/a0","$defs":{)";
  for (int i = 0; i < count; ++i) {
    schema += "\"a" + std::to_string(i) + "\":" + std::string(before) + R"({"$ref":"#/$defs/a)" +
              std::to_string(i + 1) + "\"}" + std::string(after) + ",";
  }
  return schema + "\"a" + std::to_string(count) + R"(":{"type":"null"}}})";
}

std::string wide_object(int num_properties) {
  std::string schema = R"({"type":"object","properties":{)";
  for (int i = 0; i < num_properties; ++i) {
    schema += "\"p" + std::to_string(i * 7919 % 100000) + "\":{\"type\":\"string\"},";
  }
  return schema + R"("z":{}}})";
}

TEST_F(RefusalTest, HostileSchemasEndAtALimit) {
  std::string product = R"({"allOf":[)";
  for (int i = 0; i < 20; ++i) {
    product += R"({"anyOf":[{"minimum":1},{"maximum":)" + std::to_string(i) + "}]},";
  }
  product += "true]}";
  const std::vector<std::pair<std::string, std::string>> table = {
      {R"({"type":"array","maxItems":1000000000})", "max_states"},
      {R"({"type":"array","minItems":1000000000})", "max_states"},
      {R"({"type":"string","pattern":"^a*$","minLength":1000000000})", "max_states"},
      {R"({"type":"string","pattern":"^.*$","maxLength":1000000000})", "max_states"},
      {R"({"type":"string","minLength":1000000000})", "max_string_chars"},
      {wide_object(1500), "max_s"},
      {chain(500, R"({"allOf":[)", "]}"), "max_depth"},
      {chain(500, R"({"type":"array","minItems":1,"items":)", "}"), "max_depth"},
      {product, "max_states"},
      {"{\"description\":\"" + repeated("a", 70000) + "\"}", "max_schema_bytes"},
  };
  for (const auto& [schema, limit] : table) {
    const auto grammar = compiler_.json_schema(parsed(schema));
    ASSERT_FALSE(grammar.has_value()) << schema.substr(0, 60);
    EXPECT_EQ(grammar.error().code, ErrorCode::kResourceExhausted)
        << schema.substr(0, 60) << ": " << grammar.error().describe();
    EXPECT_TRUE(says(grammar.error(), limit)) << grammar.error().describe();
  }
}

/// The limits leave room for what people write.
TEST_F(RefusalTest, LargeHonestSchemasCompile) {
  for (const std::string& schema :
       {wide_object(60), chain(30, R"({"type":"object","required":["x"],"properties":{"x":)", "}}"),
        std::string(
            R"({"type":"array","maxItems":500,"items":{"type":"string","maxLength":5000}})"),
        std::string(R"({"type":"string","pattern":"^.{1,200}$"})")}) {
    const auto grammar = compiler_.json_schema(parsed(schema));
    EXPECT_TRUE(grammar.has_value()) << grammar.error().describe();
  }
}

}  // namespace
}  // namespace cardloom
