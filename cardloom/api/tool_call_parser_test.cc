#include "cardloom/api/tool_call_parser.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <random>
#include <set>

namespace cardloom::api {
namespace {

/// A turn's special token in the texts below.
constexpr char kNextTurn = '\x01';

IdSource counted_ids() {
  return [count = 0]() mutable { return std::to_string(count++); };
}

struct Reply {
  std::string text;
  std::vector<ReplyChoice::ToolCall> calls;

  void add(const ToolCallParser::Piece& piece) {
    text += piece.text;
    for (const ToolCallDelta& delta : piece.calls) {
      const auto index = static_cast<std::size_t>(delta.index);
      ASSERT_LE(index, calls.size());
      if (index == calls.size()) {
        ASSERT_FALSE(delta.id.empty());
        ASSERT_FALSE(delta.name.empty());
        calls.push_back({delta.id, delta.name, {}});
      } else {
        ASSERT_TRUE(delta.id.empty());
        ASSERT_TRUE(delta.name.empty());
      }
      calls[index].arguments += delta.arguments;
    }
  }

  /// `text|id name arguments|...`
  [[nodiscard]] std::string joined() const {
    std::string all = text;
    for (const auto& call : calls) all += "|" + call.id + " " + call.name + " " + call.arguments;
    return all;
  }
};

std::string parse(std::string_view text, bool parallel = true, std::uint32_t seed = 0) {
  ToolCallParser parser({"get", "get_weather", "search"}, parallel, counted_ids());
  std::mt19937 random(seed);
  Reply reply;
  while (!text.empty()) {
    if (text.front() == kNextTurn) {
      reply.add(parser.next_turn());
      text.remove_prefix(1);
      continue;
    }
    std::size_t length = std::min(text.size(), text.find(kNextTurn));
    if (seed != 0) length = 1 + random() % std::min<std::size_t>(length, 9);
    reply.add(parser.append(text.substr(0, length)));
    text.remove_prefix(length);
  }
  reply.add(parser.finish());
  EXPECT_EQ(parser.has_calls(), !reply.calls.empty());
  return reply.joined();
}

struct Case {
  std::string_view text;
  std::string_view joined;
};
constexpr Case kCases[] = {
    {"", ""},
    {"\n", ""},
    {"\nHello\nworld", "Hello\nworld"},
    {"Hello\nworld", "Hello\nworld"},
    {"\n\n  code", "\n  code"},
    {"get", "get"},
    {"get\n", "get\n"},
    {"get\nwell", "get\nwell"},
    {"get well\n{}", "get well\n{}"},
    {"getter\n{}", "getter\n{}"},
    {"\nget_w", "get_w"},
    {"get\n{}", "|call_0 get {}"},
    {"get_weather\n{\"city\": \"Oslo\"}", "|call_0 get_weather {\"city\": \"Oslo\"}"},
    {"\n get_weather \r\n\n {\"a\": [1, {}]}", "|call_0 get_weather {\"a\": [1, {}]}"},
    {R"(get
{"a": "}\"]{", "b": "\\"} )",
     R"(|call_0 get {"a": "}\"]{", "b": "\\"})"},
    {"get\n{\"a\": \"\n\"}\nThere.", "There.|call_0 get {\"a\": \"\n\"}"},
    {"get\n{}\n", "|call_0 get {}"},
    {"get\n{}\nsearch\n{\"q\": 1}", "|call_0 get {}|call_1 search {\"q\": 1}"},
    {"get\n{}\nsearching", "searching|call_0 get {}"},
    {"get\n{}\x01search\n{\"q\": 1}", "|call_0 get {}|call_1 search {\"q\": 1}"},
    {"\nLet me see.\x01search\n{\"q\": 1}", "Let me see.|call_0 search {\"q\": 1}"},
    {"\nOne.\x01\nTwo.\x01get\n{}\x01\nThree.", "One.\nTwo.\nThree.|call_0 get {}"},
    {"get\n{\"a\": 1\x01search\n{}", "|call_0 get {\"a\": 1|call_1 search {}"},
    {"get\n{\"a\": [}, and so on {}\x01\nDone", "Done|call_0 get {\"a\": [}, and so on {}"},
    {"get\n{\"a\": ", "|call_0 get {\"a\": "},
    {"天气\nget\n{}", "天气\nget\n{}"},
    {"get\n{\"city\": \"北京\"}", "|call_0 get {\"city\": \"北京\"}"},
};

TEST(ToolCallParserTest, PartsTextFromCalls) {
  for (const Case& c : kCases) EXPECT_EQ(parse(c.text), c.joined) << c.text;
}

TEST(ToolCallParserTest, SplitsDoNotMatter) {
  for (const Case& c : kCases) {
    for (std::uint32_t seed = 1; seed <= 50; ++seed) {
      ASSERT_EQ(parse(c.text, true, seed), c.joined) << c.text << " seed " << seed;
    }
  }
}

TEST(ToolCallParserTest, SplitsOfRandomTextsDoNotMatter) {
  const std::string_view pieces[] = {"get", "\n", "{",    "}",      "\"",       "\\", " ",
                                     "[",   "]",  "\x01", "search", "_weather", "x"};
  std::mt19937 random(7);
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (auto n = random() % 24; n > 0; --n) text += pieces[random() % std::size(pieces)];
    const bool parallel = random() % 2 == 0;
    const std::string whole = parse(text, parallel);
    for (std::uint32_t seed = 1; seed <= 4; ++seed) {
      ASSERT_EQ(parse(text, parallel, seed), whole) << text;
    }
  }
}

TEST(ToolCallParserTest, ShowsTextAsSoonAsItIsNoName) {
  ToolCallParser parser({"get_weather"}, true, counted_ids());
  EXPECT_EQ(parser.append("\nge").text, "");
  EXPECT_EQ(parser.append("n").text, "gen");
  EXPECT_EQ(parser.append("get_weather\n{").text, "get_weather\n{");
  EXPECT_EQ(parser.finish().text, "");
  EXPECT_FALSE(parser.has_calls());
}

TEST(ToolCallParserTest, HoldsNothingBackWithoutTools) {
  ToolCallParser parser({}, true, counted_ids());
  EXPECT_EQ(parser.append("\n").text, "");
  EXPECT_EQ(parser.append(" ").text, " ");
  EXPECT_EQ(parser.append("get\n{}").text, "get\n{}");
}

TEST(ToolCallParserTest, StreamsArgumentsAsTheyCome) {
  ToolCallParser parser({"get_weather"}, true, counted_ids());
  EXPECT_TRUE(parser.append("get_weather\n").calls.empty());
  ToolCallParser::Piece piece = parser.append("{\"ci");
  ASSERT_EQ(piece.calls.size(), 1U);
  EXPECT_EQ(piece.calls[0].id, "call_0");
  EXPECT_EQ(piece.calls[0].name, "get_weather");
  EXPECT_EQ(piece.calls[0].arguments, "{\"ci");
  piece = parser.append("ty\": 1");
  ASSERT_EQ(piece.calls.size(), 1U);
  EXPECT_EQ(piece.calls[0].id, "");
  EXPECT_EQ(piece.calls[0].arguments, "ty\": 1");
  EXPECT_EQ(piece.text, "");
}

TEST(ToolCallParserTest, TakesOneCallIfNotParallel) {
  EXPECT_EQ(parse("get\n{}\nsearch\n{}\x01\nText", false), "|call_0 get {}");
  EXPECT_EQ(parse("\nText\x01get\n{}\x01\nText", false), "Text|call_0 get {}");
  ToolCallParser parser({"get"}, false, counted_ids());
  (void)parser.append("get\n{");
  EXPECT_FALSE(parser.is_complete());
  (void)parser.append("}");
  EXPECT_TRUE(parser.is_complete());
}

TEST(ToolCallParserTest, IdsDependOnTheSeedOnly) {
  IdSource one = make_id_source("reply");
  IdSource same = make_id_source("reply");
  IdSource other = make_id_source("replz");
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = one();
    EXPECT_EQ(id.size(), 24U);
    EXPECT_EQ(id, same());
    EXPECT_TRUE(seen.insert(id).second);
    EXPECT_TRUE(seen.insert(other()).second);
  }
}

TEST(ToolGrammarTest, FollowsTheChoice) {
  const json::array tools =
      boost::json::parse(
          R"([{"type": "function", "function": {"name": "a", "parameters": {"x": 1}}},
                      {"type": "function", "function": {"name": "b"}}])")
          .as_array();
  using Kind = ToolChoice::Kind;
  EXPECT_TRUE(tool_grammars(tools, {Kind::kAuto, ""}).empty());
  EXPECT_TRUE(tool_grammars(tools, {Kind::kNone, ""}).empty());
  const std::vector<ToolGrammar> all = tool_grammars(tools, {Kind::kRequired, ""});
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "a");
  EXPECT_EQ(boost::json::serialize(all[0].parameters), R"({"x":1})");
  EXPECT_EQ(boost::json::serialize(all[1].parameters),
            R"({"type":"object","additionalProperties":false})");
  const std::vector<ToolGrammar> named = tool_grammars(tools, {Kind::kNamed, "b"});
  ASSERT_EQ(named.size(), 1U);
  EXPECT_EQ(named[0].name, "b");
  EXPECT_EQ(callable_tools(tools, {Kind::kAuto, ""}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(callable_tools(tools, {Kind::kNamed, "b"}), (std::vector<std::string>{"b"}));
  EXPECT_TRUE(callable_tools(tools, {Kind::kNone, ""}).empty());
}

}  // namespace
}  // namespace cardloom::api
