#include "cardloom/models/chat_json.h"

#include <gtest/gtest.h>

namespace cardloom {
namespace {

std::vector<ChatMessage> parse(std::string_view text) {
  auto parsed = parse_chat(text, "chat.json");
  EXPECT_TRUE(parsed) << text << ": " << parsed.error().describe();
  return parsed ? *std::move(parsed) : std::vector<ChatMessage>{};
}

std::string message_of(std::string_view text) {
  const auto parsed = parse_chat(text, "chat.json");
  EXPECT_FALSE(parsed) << text;
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(parsed.error().remedy.empty());
  return parsed.error().message;
}

TEST(ParseChat, ReadsStringsPartsAndNull) {
  const auto chat = parse(R"([
    {"role": "system", "content": "be brief", "name": "x"},
    {"role": "user", "content": [
      {"type": "image_url", "image_url": {"url": "a.png", "detail": "high"}},
      {"type": "text", "text": "what is"}, {"image": "b.png"},
      {"type": "image", "image": "c.png"}, {"type": "text", "text": "this?"}]},
    {"role": "assistant", "content": null},
    {"role": "user", "content": "and", "image": "d.png"},
    {"role": "user"}, {"role": "user", "content": []}])");
  ASSERT_EQ(chat.size(), 6U);
  EXPECT_EQ(chat[0].role, "system");
  EXPECT_EQ(chat[0].content, "be brief");
  EXPECT_FALSE(chat[0].tools);
  EXPECT_EQ(chat[1].content, "what is this?");
  EXPECT_EQ(chat[1].images, (std::vector<std::string>{"a.png", "b.png", "c.png"}));
  EXPECT_EQ(chat[2].content, "");
  EXPECT_EQ(chat[3].images, std::vector<std::string>{"d.png"});
  EXPECT_EQ(chat[4].content + chat[5].content, "");
}

TEST(ParseChat, TurnsToolCallsAndResultsIntoGlm4sForm) {
  const auto chat = parse(R"([
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
      {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    {"role": "observation", "content": "21"},
    {"role": "assistant", "content": "let me see", "tool_calls": [
      {"function": {"name": "h", "arguments": ""}}]},
    {"role": "assistant", "metadata": "f", "content": "{}", "tool_calls": []}])");
  ASSERT_EQ(chat.size(), 8U);
  EXPECT_EQ(chat[1].metadata, "f");
  EXPECT_EQ(chat[1].content, "{\"a\": 1}");
  EXPECT_EQ(chat[1].role, "assistant");
  EXPECT_EQ(chat[2].metadata, "g");
  EXPECT_EQ(chat[3].role, "observation");
  EXPECT_EQ(chat[3].content, "sunny");
  EXPECT_EQ(chat[4].role, "observation");
  EXPECT_EQ(chat[5].content, "let me see");
  EXPECT_EQ(chat[5].metadata, "");
  EXPECT_EQ(chat[6].metadata, "h");
  EXPECT_EQ(chat[7].metadata, "f");
}

TEST(ParseChat, GivesTheConversationsToolsToASystemMessage) {
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f"}}])";
  const auto with = parse(R"({"messages": [{"role": "system", "content": "s"}], )" + tools + "}");
  ASSERT_EQ(with.size(), 1U);
  ASSERT_TRUE(with[0].tools);
  EXPECT_EQ(with[0].tools->size(), 1U);
  const auto without = parse(R"({"messages": [{"role": "user", "content": "u"}], )" + tools + "}");
  ASSERT_EQ(without.size(), 2U);
  EXPECT_EQ(without[0].role, "system");
  EXPECT_EQ(without[0].content, "");
  ASSERT_TRUE(without[0].tools);
  const auto none = parse(R"({"model": "x", "messages": [{"role": "user"}], "tools": []})");
  ASSERT_EQ(none.size(), 1U);
  EXPECT_FALSE(none[0].tools);
  EXPECT_EQ(message_of(R"({"messages": [{"role": "system", )" + tools + "}], " + tools + "}"),
            "chat.json: tools must not be given twice: messages[0].tools is there");
}

TEST(ParseChat, NamesTheWrongPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "messages must hold at least one message"},
      {R"([1])", "messages[0] must be an object, is a number"},
      {R"([{}])", "messages[0].role must be a string, is missing"},
      {R"([{"role": 1}])", "messages[0].role must be a string, is a number"},
      {R"([{"role": null}])", "messages[0].role must be a string, is missing"},
      {R"([{"role": "x"}])",
       "messages[0].role must be system, user, assistant, observation or tool, is \"x\""},
      {R"([{"role": "user"}, {"role": "user", "content": 1.5}])",
       "messages[1].content must be a string, null or a list of parts, is a number"},
      {R"([{"role": "user", "content": {}}])",
       "messages[0].content must be a string, null or a list of parts, is an object"},
      {R"([{"role": "user", "content": ["x"]}])",
       "messages[0].content[0] must be an object, is a string"},
      {R"([{"role": "user", "content": [{}]}])",
       "messages[0].content[0].type must be a string, is missing"},
      {R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "video_url"}]}])",
       "messages[0].content[1].type must be text, image_url or image, is \"video_url\""},
      {R"([{"role": "user", "content": [{"type": "text"}]}])",
       "messages[0].content[0].text must be a string, is missing"},
      {R"([{"role": "user", "content": [{"type": "text", "text": true}]}])",
       "messages[0].content[0].text must be a string, is a boolean"},
      {R"([{"role": "user", "content": [{"type": "image_url", "image_url": "a.png"}]}])",
       "messages[0].content[0].image_url must be an object, is a string"},
      {R"([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])",
       "messages[0].content[0].image_url.url must be a string, is missing"},
      {R"([{"role": "user", "content": [{"image": ""}]}])",
       "messages[0].content[0].image must not be empty"},
      {R"([{"role": "user", "content": [{"image": "a\u0000b"}]}])",
       "messages[0].content[0].image must not hold a NUL"},
      {R"([{"role": "user", "image": []}])", "messages[0].image must be a string, is a list"},
      {R"([{"role": "user", "metadata": 1}])",
       "messages[0].metadata must be a string, is a number"},
      {R"([{"role": "user", "tool_calls": [{}]}])",
       "messages[0].tool_calls must belong to an assistant, role is \"user\""},
      {R"([{"role": "assistant", "tool_calls": {}}])",
       "messages[0].tool_calls must be a list, is an object"},
      {R"([{"role": "assistant", "tool_calls": [{"function": 1}]}])",
       "messages[0].tool_calls[0].function must be an object, is a number"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}])",
       "messages[0].tool_calls[0].function.arguments must be a string, is an object"},
      {R"([{"role": "user", "tools": {}}])", "messages[0].tools must be a list, is an object"},
      {R"([{"role": "user", "tools": [1]}])", "messages[0].tools[0] must be an object"},
      {R"([{"role": "user", "tools": [{}]}])", "messages[0].tools[0].type must be a string"},
      {R"([{"role": "user", "tools": [{"type": "function"}]}])",
       "messages[0].tools[0].function must be an object"},
      {R"([{"role": "user", "tools": [{"type": "function", "function": {"name": 1}}]}])",
       "messages[0].tools[0].function.name must be a string"},
      {R"({"messages": [{"role": "user"}], "tools": 1})", "tools must be a list, is a number"},
  };
  for (const auto& [text, rule] : cases) {
    EXPECT_EQ(message_of(text), std::string("chat.json: ") + rule);
  }
}

TEST(ParseChat, RefusesOtherRoots) {
  for (const char* text :
       {"1", "\"x\"", "null", "{}", R"({"messages": {}})", R"({"messages": null})"}) {
    EXPECT_EQ(message_of(text),
              "chat.json must be a list of messages, or an object with one as \"messages\"");
  }
  EXPECT_EQ(parse_chat("[", "chat.json").error().message, "chat.json is not valid JSON");
  EXPECT_FALSE(parse_chat(R"([{"role": "user", "content": "\ud800"}])", "chat.json"))
      << "half a surrogate pair is no character";
}

TEST(ParseChat, KeepsToItsLimits) {
  const auto code = [](const std::string& text, const ChatLimits& limits) {
    const auto parsed = parse_chat(text, "chat.json", limits);
    return parsed ? ErrorCode::kInternal : parsed.error().code;
  };
  const std::string two = R"([{"role": "user"}, {"role": "user"}])";
  EXPECT_EQ(code(two, {.max_messages = 1}), ErrorCode::kResourceExhausted);
  EXPECT_TRUE(parse_chat(two, "x", {.max_messages = 2}));
  EXPECT_EQ(code(two, {.max_bytes = 10}), ErrorCode::kResourceExhausted);
  const std::string images =
      R"([{"role": "user", "image": "a"}, {"role": "user", "content": [{"image": "b"}]}])";
  EXPECT_EQ(code(images, {.max_images = 1}), ErrorCode::kResourceExhausted);
  EXPECT_TRUE(parse_chat(images, "x", {.max_images = 2}));
  const std::string calls = R"([{"role": "assistant", "tool_calls": [
    {"function": {"name": "f", "arguments": ""}}, {"function": {"name": "f", "arguments": ""}}]}])";
  EXPECT_EQ(code(calls, {.max_messages = 1}), ErrorCode::kResourceExhausted);
  std::string deep =
      R"([{"role": "user", "tools": [{"type": "function", "function": {"name": "f", "x": )";
  deep += std::string(50, '[');
  for (int i = 0; i < 50000; ++i) deep += "0,";
  deep += "0" + std::string(50, ']') + "}}]}]";
  EXPECT_EQ(code(deep, {}), ErrorCode::kResourceExhausted) << "100 kB that would print as 11 MB";
}

}  // namespace
}  // namespace cardloom
