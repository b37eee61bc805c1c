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

GenerationRequest parsed(std::string_view body, const RequestLimits& limits = {}) {
  ParsedRequest result = parse_responses(body, limits);
  if (const auto* error = std::get_if<ApiError>(&result)) {
    ADD_FAILURE() << error->message;
    return {};
  }
  return std::get<GenerationRequest>(std::move(result));
}

std::string echoed(const GenerationRequest& request, std::string_view name) {
  const json::value* value = request.echoed_fields.if_contains(name);
  return value == nullptr ? std::string("-") : boost::json::serialize(*value);
}

TEST(ResponsesRequestTest, ReadsAString) {
  const GenerationRequest request = parsed(R"({"input": "Hi"})");
  EXPECT_EQ(outline(request), "user: Hi\n");
  EXPECT_EQ(request.model, "");
  EXPECT_EQ(request.max_tokens, 0);
  EXPECT_EQ(request.sampling.temperature, 1);
  EXPECT_EQ(request.sampling.num_logprobs, -1);
  EXPECT_FALSE(request.stream);
  EXPECT_TRUE(request.parallel_tool_calls);
  EXPECT_EQ(request.format.kind, OutputFormat::Kind::kText);
  EXPECT_EQ(echoed(request, "instructions"), "-");
}

TEST(ResponsesRequestTest, ReadsItems) {
  const GenerationRequest request = parsed(R"({"instructions": "Be brief.", "input": [
    {"role": "developer", "content": "d"},
    {"type": "message", "role": "user", "content": [
      {"type": "input_text", "text": "What is"},
      {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "original"},
      {"type": "input_text", "text": "this?"}]},
    {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "x"},
    {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
      {"type": "output_text", "text": "A cat.", "annotations": [], "logprobs": []}]},
    {"role": "user", "content": "Weather?"},
    {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "weather",
     "arguments": "{\"a\": 1}", "status": "completed"},
    {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    {"type": "function_call_output", "call_id": "call_2", "output": [
      {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "http://x"}]}]})");
  EXPECT_EQ(outline(request),
            "system: Be brief.\nsystem: d\nuser[data:image/png;base64,AAAA]: What is this?\n"
            "assistant: A cat.\nuser: Weather?\nassistant(weather): {\"a\": 1}\n"
            "observation: sunny\nobservation[http://x]: see\n");
  ASSERT_EQ(request.pictures.size(), 2U);
  EXPECT_EQ(request.pictures[0].param, "input[1].content[1].image_url");
  EXPECT_EQ(request.pictures[0].detail, "high");
  EXPECT_EQ(request.pictures[1].param, "input[7].output[1].image_url");
  EXPECT_TRUE(request.add_generation_prompt);
  EXPECT_EQ(echoed(request, "instructions"), "\"Be brief.\"");
  EXPECT_TRUE(request.ignored_fields.empty());
}

TEST(ResponsesRequestTest, ReadsNumbers) {
  const GenerationRequest request = parsed(R"({"input": "x", "max_output_tokens": 77,
    "temperature": 0.5, "top_p": 0.25, "top_logprobs": 3, "stream": true,
    "stream_options": {"include_obfuscation": false}, "store": false, "background": false,
    "truncation": "disabled", "reasoning": {"effort": "high"}, "metadata": {"a": "b"},
    "user": "me", "seed": 5, "top_k": 9, "model": "m"})");
  EXPECT_EQ(request.max_tokens, 77);
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.25);
  EXPECT_EQ(request.sampling.num_logprobs, 3);
  EXPECT_EQ(request.sampling.top_k, 9);
  EXPECT_EQ(request.sampling.seed, 5U);
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(echoed(request, "metadata"), R"({"a":"b"})");
  EXPECT_EQ(echoed(request, "max_output_tokens"), "77");
  EXPECT_EQ(echoed(request, "user"), "\"me\"");
  EXPECT_EQ(request.ignored_fields, std::vector<std::string>{"reasoning"});
}

TEST(ResponsesRequestTest, IncludesLogprobs) {
  const GenerationRequest request = parsed(
      R"({"input": "x", "include": ["message.output_text.logprobs", "file_search_call.results"]})");
  EXPECT_EQ(request.sampling.num_logprobs, 0);
  EXPECT_EQ(request.ignored_fields, std::vector<std::string>{"include[1]"});
}

TEST(ResponsesRequestTest, ReadsFlatTools) {
  const auto with_choice = [](const std::string& choice) {
    return parsed(R"({"input": "x", "tools": [
      {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"},
       "strict": true}, {"type": "function", "name": "g"}],
      "parallel_tool_calls": false, "tool_choice": )" +
                  choice + "}");
  };
  const GenerationRequest request = with_choice("\"auto\"");
  EXPECT_EQ(boost::json::serialize(request.tools),
            R"([{"type":"function","function":{"name":"f","description":"d",)"
            R"("parameters":{"type":"object"},"strict":true}},)"
            R"({"type":"function","function":{"name":"g"}}])");
  EXPECT_EQ(echoed(request, "tools"),
            R"([{"type":"function","name":"f","description":"d","parameters":{"type":"object"},)"
            R"("strict":true},{"type":"function","name":"g","description":null,)"
            R"("parameters":null,"strict":false}])");
  EXPECT_EQ(echoed(request, "tool_choice"), "\"auto\"");
  EXPECT_FALSE(request.parallel_tool_calls);
  EXPECT_EQ(with_choice("\"none\"").tool_choice.kind, ToolChoice::Kind::kNone);
  EXPECT_EQ(with_choice("\"required\"").tool_choice.kind, ToolChoice::Kind::kRequired);
  const GenerationRequest named = with_choice(R"({"type": "function", "name": "g"})");
  EXPECT_EQ(named.tool_choice.kind, ToolChoice::Kind::kNamed);
  EXPECT_EQ(named.tool_choice.name, "g");
  const GenerationRequest allowed = with_choice(
      R"({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]})");
  EXPECT_EQ(allowed.tool_choice.kind, ToolChoice::Kind::kRequired);
  EXPECT_EQ(allowed.tools.size(), 1U);
}

TEST(ResponsesRequestTest, ReadsTextFormats) {
  const auto format = [](const std::string& text) {
    return parsed(R"({"input": "x", "text": )" + text + "}").format;
  };
  EXPECT_EQ(format(R"({"verbosity": "low"})").kind, OutputFormat::Kind::kText);
  EXPECT_EQ(format(R"({"format": {"type": "text"}})").kind, OutputFormat::Kind::kText);
  EXPECT_EQ(format(R"({"format": {"type": "json_object"}})").kind, OutputFormat::Kind::kJsonObject);
  const OutputFormat schema = format(
      R"({"format": {"type": "json_schema", "name": "n", "strict": true, "schema": {"a": 1}}})");
  EXPECT_EQ(schema.kind, OutputFormat::Kind::kJsonSchema);
  EXPECT_EQ(boost::json::serialize(schema.schema), R"({"a":1})");
  EXPECT_EQ(schema.param, "text.format.schema");
}

TEST(ResponsesRequestTest, RefusesByName) {
  const auto part = [](std::string_view role, std::string_view json) {
    return fmt::format(R"("input": [{{"role": "{}", "content": [{}]}}])", role, json);
  };
  const std::string input = R"("input": "x")";
  const std::string tool = input + R"(, "tools": [{"type": "function", "name": "f"}])";
  const std::string big(600, 'A');
  struct Case {
    std::string fields;
    std::string param;
    std::string message;
  };
  const Case cases[] = {
      {R"("model": "m")", "input", "input is required"},
      {R"("input": null)", "input", "is null"},
      {R"("input": 5)", "input", "must be a string or a list of items, is a number"},
      {R"("input": [])", "input", "must hold an item"},
      {R"("input": ["x"])", "input[0]", "must be an object, is a string"},
      {R"("input": [{"content": "x"}])", "input[0].role", "is required"},
      {R"("input": [{"role": "tool", "content": "x"}])", "input[0].role", "is \"tool\""},
      {R"("input": [{"role": "user"}])", "input[0].content", "is required"},
      {R"("input": [{"role": "user", "content": 1}])", "input[0].content",
       "must be a string or a list of parts, is a number"},
      {R"("input": [{"type": "reasoning"}])", "input", "must hold a message"},
      {R"("input": [{"type": "item_reference", "id": "msg_1"}])", "input[0]", "keeps nothing"},
      {R"("input": [{"type": "web_search_call", "id": "w"}])", "input[0].type",
       "is \"web_search_call\""},
      {R"("input": [{"type": "function_call", "name": "f"}])", "input[0].arguments", "is required"},
      {R"("input": [{"type": "function_call", "arguments": "{}"}])", "input[0].name",
       "is required"},
      {R"("input": [{"type": "function_call_output", "output": "x"}])", "input[0].call_id",
       "is required"},
      {R"("input": [{"type": "function_call_output", "call_id": "c"}])", "input[0].output",
       "is required"},
      {part("user", R"({"type": "input_file", "file_id": "f"})"), "input[0].content[0].type",
       "is \"input_file\""},
      {part("user", R"({"type": "input_image", "file_id": "f"})"), "input[0].content[0].file_id",
       "keeps no files"},
      {part("user", R"({"type": "input_image"})"), "input[0].content[0].image_url", "is required"},
      {part("user", R"({"type": "input_image", "image_url": {"url": "http://x"}})"),
       "input[0].content[0].image_url", "must be a string, is an object"},
      {part("user", R"({"type": "input_image", "image_url": "http://x", "detail": "low"})"),
       "input[0].content[0].detail", "must be auto or high"},
      {part("system", R"({"type": "input_image", "image_url": "http://x"})"),
       "input[0].content[0].type", "pictures belong to"},
      {part("user", R"({"type": "input_text"})"), "input[0].content[0].text", "is required"},
      {input + R"(, "previous_response_id": "resp_1")", "previous_response_id", "keeps nothing"},
      {input + R"(, "conversation": "c")", "conversation", "keeps nothing"},
      {input + R"(, "prompt": {"id": "p"})", "prompt", "keeps nothing"},
      {input + R"(, "store": true)", "store", "keeps nothing"},
      {input + R"(, "background": true)", "background", "keeps nothing"},
      {input + R"(, "store": "yes")", "store", "must be true or false"},
      {input + R"(, "truncation": "auto")", "truncation", "must be disabled, is \"auto\""},
      {input + R"(, "max_output_tokens": 0)", "max_output_tokens", "from 1"},
      {input + R"(, "temperature": 2.5)", "temperature", "from 0 to 2"},
      {input + R"(, "top_logprobs": 21)", "top_logprobs", "from 0 to 20"},
      {input + R"(, "include": "x")", "include", "must be a list"},
      {input + R"(, "include": [1])", "include[0]", "must be a string"},
      {input + R"(, "instructions": ["x"])", "instructions", "must be a string, is a list"},
      {input + R"(, "metadata": {"a": 1})", "metadata.a", "must be a string, is a number"},
      {input + R"(, "metadata": {"a": ")" + big + "\"}", "metadata.a", "has 600 bytes"},
      {input + R"(, "metadata": {")" + big + "\": \"a\"}", "metadata", "a key of 600 bytes"},
      {input + R"(, "tools": [{"type": "web_search"}])", "tools[0].type", "must be function"},
      {input + R"(, "tools": [{"type": "function"}])", "tools[0].name", "is required"},
      {input + R"(, "tools": [{"type": "function", "name": "f", "parameters": 1}])",
       "tools[0].parameters", "must be an object"},
      {input + R"(, "tool_choice": "required")", "tool_choice", "there are no tools"},
      {tool + R"(, "tool_choice": "any")", "tool_choice", "must be none, auto or required"},
      {tool + R"(, "tool_choice": 1)", "tool_choice", "must be a string or an object"},
      {tool + R"(, "tool_choice": {"type": "function", "name": "g"})", "tool_choice.name",
       "must name one of tools"},
      {tool + R"(, "tool_choice": {"type": "mcp"})", "tool_choice.type",
       "must be function or allowed_tools"},
      {tool + R"(, "tool_choice": {"type": "allowed_tools", "mode": "none", "tools": []})",
       "tool_choice.mode", "must be auto or required"},
      {tool + R"(, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []})",
       "tool_choice.tools", "must name a tool"},
      {tool + R"(, "tool_choice": {"type": "allowed_tools", "mode": "auto",
                                   "tools": [{"type": "function", "name": "g"}]})",
       "tool_choice.tools[0].name", "must name one of tools"},
      {input + R"(, "text": {"format": {"type": "xml"}})", "text.format.type",
       "must be text, json_object or json_schema"},
      {input + R"(, "text": {"format": {"type": "json_schema", "schema": {}}})", "text.format.name",
       "is required"},
      {input + R"(, "text": {"format": {"type": "json_schema", "name": "n", "schema": 1}})",
       "text.format.schema", "must be a JSON Schema"},
      {tool + R"(, "tool_choice": "required", "text": {"format": {"type": "json_object"}})",
       "text.format", "must call a tool"},
  };
  for (const Case& c : cases) {
    const std::string body = "{" + c.fields + "}";
    const ParsedRequest result = parse_responses(body, {});
    const auto* error = std::get_if<ApiError>(&result);
    ASSERT_NE(error, nullptr) << body;
    EXPECT_EQ(error->status, 400) << body;
    EXPECT_EQ(error->type, "invalid_request_error") << body;
    EXPECT_EQ(error->param, c.param) << body << "\n" << error->message;
    EXPECT_NE(error->message.find(c.message), std::string::npos) << body << "\n" << error->message;
  }
}

}  // namespace
}  // namespace cardloom::api
