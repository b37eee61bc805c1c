#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "cardloom/api/api.h"

namespace cardloom::api {
namespace {

/// Every message as `role(metadata)[images]: content`, one a line.
std::string outline(const GenerationRequest& request) {
  std::string text;
  for (const ChatMessage& message : request.messages) {
    text += message.role;
    if (!message.metadata.empty()) text += "(" + message.metadata + ")";
    for (const std::string& image : message.images) text += "[" + image + "]";
    text += ": " + message.content + "\n";
  }
  return text;
}

RequestLimits small_limits() {
  RequestLimits limits;
  limits.max_messages = 4;
  limits.max_images = 2;
  limits.max_image_bytes = 64;
  limits.max_tools = 2;
  limits.max_schema_bytes = 100;
  limits.max_stop = 2;
  limits.max_stop_bytes = 8;
  return limits;
}

GenerationRequest parsed(std::string_view body, const RequestLimits& limits = {}) {
  ParsedRequest result = parse_messages(body, limits);
  if (const auto* error = std::get_if<ApiError>(&result)) {
    ADD_FAILURE() << error->message;
    return {};
  }
  return std::get<GenerationRequest>(std::move(result));
}

TEST(MessagesRequestTest, ReadsPlainChat) {
  const GenerationRequest request = parsed(R"({
    "model": "glm", "max_tokens": 100, "system": "Be brief.", "temperature": 0.5, "top_p": 0.9,
    "top_k": 40, "stop_sequences": ["END"], "stream": true, "metadata": {"user_id": "u"},
    "service_tier": "auto", "thinking": {"type": "disabled"},
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."},
                 {"role": "user", "content": [{"type": "text", "text": "one",
                                               "cache_control": {"type": "ephemeral"}},
                                              {"type": "text", "text": "two"}]}]})");
  EXPECT_EQ(outline(request), "system: Be brief.\nuser: Hi\nassistant: Hello.\nuser: one two\n");
  EXPECT_EQ(request.model, "glm");
  EXPECT_EQ(request.max_tokens, 100);
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.stop, std::vector<std::string>{"END"});
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.add_generation_prompt);
  EXPECT_FALSE(request.continue_final_message);
  EXPECT_TRUE(request.ignored_fields.empty());
}

TEST(MessagesRequestTest, HasAnthropicsDefaults) {
  const GenerationRequest request =
      parsed(R"({"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})");
  EXPECT_EQ(request.model, "");
  EXPECT_EQ(request.sampling.temperature, 1);
  EXPECT_EQ(request.sampling.top_p, 1);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_FALSE(request.stream);
  EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kAuto);
  EXPECT_TRUE(request.parallel_tool_calls);
  EXPECT_EQ(request.n, 1);
}

TEST(MessagesRequestTest, ReadsSystemBlocksAndSystemTurns) {
  EXPECT_EQ(outline(parsed(R"({"max_tokens": 9,
              "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
              "messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "c"},
                           {"role": "user", "content": "y"}]})")),
            "system: a b\nuser: x\nsystem: c\nuser: y\n");
}

TEST(MessagesRequestTest, ReadsPictures) {
  const GenerationRequest request = parsed(R"({"max_tokens": 9, "messages": [
    {"role": "user", "content": [
      {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
      {"type": "text", "text": "and"},
      {"type": "image", "source": {"type": "url", "url": "https://x/y.jpg"}}]}]})");
  EXPECT_EQ(outline(request), "user[data:image/png;base64,AAAA][https://x/y.jpg]: and\n");
  ASSERT_EQ(request.pictures.size(), 2U);
  EXPECT_EQ(request.pictures[0].param, "messages[0].content[0].source.data");
  EXPECT_EQ(request.pictures[1].param, "messages[0].content[2].source.url");
}

TEST(MessagesRequestTest, WritesToolsAsGlmReadsThem) {
  const GenerationRequest request = parsed(R"({"max_tokens": 9, "messages": [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": [
      {"type": "thinking", "thinking": "hm", "signature": "s"},
      {"type": "text", "text": "Let me see."},
      {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "北京"}},
      {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}}]},
    {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
      {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": false,
       "content": [{"type": "text", "text": "noon"},
                   {"type": "image", "source": {"type": "url", "url": "http://x"}}]},
      {"type": "text", "text": "Well?"}]}],
    "tools": [{"name": "weather", "description": "d", "input_schema": {"type": "object"}},
              {"type": "custom", "name": "time", "input_schema": {}}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": true}})");
  EXPECT_EQ(outline(request),
            "user: Weather?\nassistant: Let me see.\nassistant(weather): {\"city\":\"北京\"}\n"
            "assistant(time): {}\nobservation: sunny\nobservation[http://x]: noon\nuser: Well?\n");
  EXPECT_EQ(boost::json::serialize(request.tools),
            R"([{"type":"function","function":{"name":"weather","description":"d",)"
            R"("parameters":{"type":"object"}}},)"
            R"({"type":"function","function":{"name":"time","parameters":{}}}])");
  EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kRequired);
  EXPECT_FALSE(request.parallel_tool_calls);
}

TEST(MessagesRequestTest, ReadsToolChoices) {
  const auto choice = [](const std::string& text) {
    return parsed(R"({"max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
                      "tools": [{"name": "f", "input_schema": {}}], "tool_choice": )" +
                  text + "}")
        .tool_choice;
  };
  EXPECT_EQ(choice(R"({"type": "auto"})").kind, ToolChoice::Kind::kAuto);
  EXPECT_EQ(choice(R"({"type": "none"})").kind, ToolChoice::Kind::kNone);
  EXPECT_EQ(choice(R"({"type": "tool", "name": "f"})").kind, ToolChoice::Kind::kNamed);
  EXPECT_EQ(choice(R"({"type": "tool", "name": "f"})").name, "f");
}

TEST(MessagesRequestTest, ContinuesTheAssistantsLastWords) {
  const GenerationRequest request = parsed(R"({"max_tokens": 9, "messages": [
    {"role": "user", "content": "x"}, {"role": "assistant", "content": "The answer is"}]})");
  EXPECT_TRUE(request.continue_final_message);
  EXPECT_FALSE(request.add_generation_prompt);
  EXPECT_FALSE(parsed(R"({"max_tokens": 9, "messages": [
    {"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]})")
                   .continue_final_message);
}

TEST(MessagesRequestTest, ReadsASchema) {
  const GenerationRequest request =
      parsed(R"({"max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "output_config": {"effort": "low",
                          "format": {"type": "json_schema", "schema": {"type": "object"}}}})");
  EXPECT_EQ(request.format.kind, OutputFormat::Kind::kJsonSchema);
  EXPECT_EQ(boost::json::serialize(request.format.schema), R"({"type":"object"})");
  EXPECT_EQ(request.format.param, "output_config.format.schema");
  EXPECT_EQ(request.ignored_fields, std::vector<std::string>{"output_config.effort"});
}

TEST(MessagesRequestTest, CountingNeedsNoMaxTokens) {
  constexpr std::string_view kBody = R"({"messages": [{"role": "user", "content": "x"}]})";
  EXPECT_TRUE(std::holds_alternative<GenerationRequest>(parse_messages(kBody, {}, true)));
  EXPECT_TRUE(std::holds_alternative<ApiError>(parse_messages(kBody, {}, false)));
}

TEST(MessagesRequestTest, ClampsMaxTokens) {
  RequestLimits limits;
  limits.max_tokens = 50;
  EXPECT_EQ(parsed(R"({"max_tokens": 900, "messages": [{"role": "user", "content": "x"}]})", limits)
                .max_tokens,
            50);
}

TEST(MessagesRequestTest, NotesOrRefusesUnknownFields) {
  constexpr std::string_view kBody =
      R"({"max_tokens": 9, "max_tokenz": 1, "messages": [{"role": "user", "content": "x"}]})";
  EXPECT_EQ(parsed(kBody).ignored_fields, std::vector<std::string>{"max_tokenz"});
  RequestLimits limits;
  limits.strict = true;
  const ParsedRequest refused = parse_messages(kBody, limits);
  ASSERT_TRUE(std::holds_alternative<ApiError>(refused));
  EXPECT_EQ(std::get<ApiError>(refused).param, "max_tokenz");
}

constexpr std::string_view kUser = R"("messages": [{"role": "user", "content": "x"}])";

TEST(MessagesRequestTest, RefusesByName) {
  const std::string user(kUser);
  const std::string tools = user + R"(, "tools": [{"name": "f", "input_schema": {}}])";
  const auto block = [](std::string_view role, std::string_view json) {
    return fmt::format(R"("messages": [{{"role": "{}", "content": [{}]}}])", role, json);
  };
  const auto source = [&](std::string_view json) {
    return block("user", fmt::format(R"({{"type": "image", "source": {}}})", json));
  };
  const std::string picture = R"({"type": "image", "source": {"type": "url", "url": "http://x"}})";
  const std::string big(100, 'A');
  struct Case {
    std::string fields;
    std::string param;
    std::string message;
    int status = 400;
  };
  const Case cases[] = {
      {R"("x": 1)", "messages", "messages is required"},
      {R"("messages": 5)", "messages", "must be a list, is a number"},
      {R"("messages": [])", "messages", "must hold a message"},
      {R"("messages": ["hi"])", "messages[0]", "must be an object, is a string"},
      {R"("messages": [{"role": "user"}])", "messages[0].content", "is required"},
      {R"("messages": [{"content": "x"}])", "messages[0].role", "is required"},
      {R"("messages": [{"role": "tool", "content": "x"}])", "messages[0].role",
       R"(must be user, assistant or system, is "tool")"},
      {R"("messages": [{"role": "user", "content": 5}])", "messages[0].content",
       "must be a string or a list of blocks, is a number"},
      {R"("messages": [{"role": "user", "content": ""}])", "messages", "must hold a message"},
      {block("user", R"({"text": "x"})"), "messages[0].content[0].type", "is required"},
      {block("user", R"({"type": "document", "source": {}})"), "messages[0].content[0].type",
       R"(must be text, image or tool_result here, is "document")"},
      {block("user", R"({"type": "tool_use", "id": "a", "name": "b", "input": {}})"),
       "messages[0].content[0].type", "is \"tool_use\""},
      {block("assistant", R"({"type": "image"})"), "messages[0].content[0].type",
       R"(must be text or tool_use here, is "image")"},
      {block("assistant", R"({"type": "tool_use", "id": "a", "name": "b", "input": {}})"),
       "messages[0].content", "tool_result must follow"},
      {block("assistant", R"({"type": "tool_use", "id": "a", "name": "b", "input": "x"})"),
       "messages[0].content[0].input", "must be an object, is a string"},
      {block("assistant", R"({"type": "tool_use", "id": "a", "name": "b\nc", "input": {}})"),
       "messages[0].content[0].name", "must call a tool by its name"},
      {block("user", R"({"type": "tool_result", "content": "x"})"),
       "messages[0].content[0].tool_use_id", "is required"},
      {block("user", R"({"type": "tool_result", "tool_use_id": "t",
                         "content": [{"type": "document"}]})"),
       "messages[0].content[0].content[0].type", R"(must be text or image here, is "document")"},
      {source(R"({"type": "file", "file_id": "f"})"), "messages[0].content[0].source.type",
       "must be base64 or url"},
      {source(R"({"type": "base64", "media_type": "application/pdf", "data": "AAAA"})"),
       "messages[0].content[0].source.media_type", "application/pdf"},
      {source(R"({"type": "base64", "media_type": "image/png,x", "data": "AAAA"})"),
       "messages[0].content[0].source.media_type", "image/png,x"},
      {source(R"({"type": "base64", "media_type": "image/png", "data": ""})"),
       "messages[0].content[0].source.data", "must not be empty"},
      {source(R"({"type": "base64", "media_type": "image/png", "data": ")" + big + "\"}"),
       "messages[0].content[0].source.data", "holds a picture of 75 bytes, the limit is 64", 413},
      {source(R"({"type": "url"})"), "messages[0].content[0].source.url", "is required"},
      {block("user", picture + "," + picture + "," + picture), "messages[0].content[2].source.url",
       "the limit is 2"},
      {R"("system": 5, )" + user, "system", "must be a string or a list of text blocks"},
      {R"("system": [{"type": "image"}], )" + user, "system[0].type",
       R"(must be text here, is "image")"},
      {user + R"(, "temperature": 1.5)", "temperature", "from 0 to 1, is 1.5"},
      {user + R"(, "temperature": "hot")", "temperature", "must be a number, is a string"},
      {user + R"(, "top_p": 0)", "top_p", "above 0"},
      {user + R"(, "top_k": -2)", "top_k", "from -1"},
      {user + R"(, "stream": "yes")", "stream", "must be true or false"},
      {user + R"(, "stop_sequences": 5)", "stop_sequences", "must be a string or a list"},
      {user + R"(, "stop_sequences": ["a", "b", "c"])", "stop_sequences", "3 entries, the limit"},
      {user + R"(, "stop_sequences": ["a", ""])", "stop_sequences[1]", "must not be empty"},
      {user + R"(, "stop_sequences": ["123456789"])", "stop_sequences[0]",
       "has 9 bytes, the limit is 8"},
      {user + R"(, "thinking": {"type": "enabled", "budget_tokens": 1024})", "thinking.type",
       "must be disabled, is \"enabled\""},
      {user + R"(, "tools": [{"name": "f"}])", "tools[0].input_schema", "is required"},
      {user + R"(, "tools": [{"name": "f f", "input_schema": {}}])", "tools[0].name", "f f"},
      {user + R"(, "tools": [{"name": "f", "input_schema": 1}])", "tools[0].input_schema",
       "must be an object"},
      {user + R"(, "tools": [{"name": "f", "input_schema": {"a": ")" + big + "\"}}]",
       "tools[0].input_schema", "the limit is 100"},
      {user +
           R"(, "tools": [{"name": "f", "input_schema": {}}, {"name": "f", "input_schema": {}}])",
       "tools[1].name", "must be another than all names before it"},
      {user + R"(, "tools": [{"type": "web_search_20250305", "name": "web_search"}])",
       "tools[0].type", "must be custom"},
      {user + R"(, "tool_choice": {"type": "any"})", "tool_choice", "there are no tools"},
      {tools + R"(, "tool_choice": {"type": "tool", "name": "g"})", "tool_choice.name",
       "must name one of tools, is \"g\""},
      {tools + R"(, "tool_choice": {"type": "function"})", "tool_choice.type",
       "must be auto, any, tool or none"},
      {tools + R"(, "tool_choice": "auto")", "tool_choice", "must be an object"},
      {user + R"(, "output_config": {"format": {"type": "xml"}})", "output_config.format.type",
       "must be json_schema"},
      {user + R"(, "container": "c")", "container", "keeps nothing"},
      {user + R"(, "mcp_servers": [])", "mcp_servers", "is not supported"},
      {user + R"(, "max_tokens": 7)", "", "stands twice"},
      {R"("messages": [{"role": "user", "content": "1"}, {"role": "user", "content": "2"},
                       {"role": "user", "content": "3"}, {"role": "user", "content": "4"},
                       {"role": "user", "content": "5"}])",
       "messages[4]", "the limit"},
  };
  for (const Case& c : cases) {
    const std::string body = R"({"max_tokens": 9, )" + c.fields + "}";
    const ParsedRequest result = parse_messages(body, small_limits());
    const auto* error = std::get_if<ApiError>(&result);
    ASSERT_NE(error, nullptr) << body;
    EXPECT_EQ(error->status, c.status) << body;
    EXPECT_EQ(error->type, "invalid_request_error") << body;
    EXPECT_EQ(error->param, c.param) << body << "\n" << error->message;
    EXPECT_NE(error->message.find(c.message), std::string::npos) << body << "\n" << error->message;
  }
}

TEST(MessagesRequestTest, RefusesBodiesThatAreNoRequest) {
  for (const std::string_view body :
       {"", "[]", "null", "{", "{}", R"({"max_tokens": 0, "messages": []})", "\xFF"}) {
    const ParsedRequest result = parse_messages(body, {});
    ASSERT_TRUE(std::holds_alternative<ApiError>(result)) << body;
    EXPECT_EQ(std::get<ApiError>(result).status, 400) << body;
  }
  const std::string user(kUser);
  for (const char* max_tokens : {"0", "-1", "1.5", "1e300", "\"9\"", "null"}) {
    const ParsedRequest result =
        parse_messages("{\"max_tokens\": " + std::string(max_tokens) + ", " + user + "}", {});
    ASSERT_TRUE(std::holds_alternative<ApiError>(result)) << max_tokens;
    EXPECT_EQ(std::get<ApiError>(result).param, "max_tokens") << max_tokens;
  }
}

}  // namespace
}  // namespace cardloom::api
