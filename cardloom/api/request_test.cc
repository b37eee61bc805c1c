// Good requests, in the shapes that real clients send, and what they become.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <cmath>

#include "cardloom/api/api.h"
#include "cardloom/api/ranges.h"
#include "cardloom/api/small_requests.h"
#include "cardloom/api/test_requests.h"

namespace cardloom::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

GenerationRequest accepted(ParsedRequest parsed) {
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) {
    ADD_FAILURE() << error->param << ": " << error->message;
    return {};
  }
  return std::get<GenerationRequest>(std::move(parsed));
}
GenerationRequest chat_of(std::string_view body, const RequestLimits& limits = {}) {
  return accepted(parse_chat_completion(body, limits));
}
GenerationRequest chat_with(std::string_view fields, const RequestLimits& limits = {}) {
  return chat_of(fmt::format(R"({{"messages":[{{"role":"user","content":"hi"}}],{}}})", fields),
                 limits);
}
GenerationRequest completion_of(std::string_view body, const RequestLimits& limits = {}) {
  return accepted(parse_completion(body, limits));
}

TEST(ChatRequest, DefaultsAreOpenAis) {
  const GenerationRequest request = chat_of(R"({"messages":[{"role":"user","content":"hi"}]})");
  EXPECT_EQ(request.model, "");
  ASSERT_EQ(request.messages.size(), 1U);
  EXPECT_EQ(request.messages[0].role, "user");
  EXPECT_EQ(request.messages[0].content, "hi");
  EXPECT_EQ(request.sampling.temperature, 1);
  EXPECT_EQ(request.sampling.top_p, 1);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.num_logprobs, -1);
  EXPECT_FALSE(request.has_seed);
  EXPECT_EQ(request.max_tokens, 0);
  EXPECT_EQ(request.n, 1);
  EXPECT_TRUE(request.add_generation_prompt);
  EXPECT_TRUE(request.parallel_tool_calls);
  EXPECT_TRUE(request.skip_special_tokens);
  EXPECT_EQ(request.priority, 1);
  EXPECT_EQ(request.format.kind, OutputFormat::Kind::kText);
  EXPECT_THAT(request.ignored_fields, IsEmpty());
}

TEST(ChatRequest, DefaultsAgreeWithTheTableOfRanges) {
  const GenerationRequest request = chat_with(R"("stream":false)");
  const SamplingParams& sampling = request.sampling;
  EXPECT_EQ(sampling.temperature, real_range("temperature").fallback);
  EXPECT_EQ(sampling.top_p, real_range("top_p").fallback);
  EXPECT_EQ(sampling.min_p, real_range("min_p").fallback);
  EXPECT_EQ(sampling.presence_penalty, real_range("presence_penalty").fallback);
  EXPECT_EQ(sampling.frequency_penalty, real_range("frequency_penalty").fallback);
  EXPECT_EQ(sampling.repetition_penalty, real_range("repetition_penalty").fallback);
  EXPECT_EQ(sampling.top_k, integer_range("top_k").fallback);
  EXPECT_EQ(request.n, integer_range("n").fallback);
  EXPECT_EQ(request.min_tokens, integer_range("min_tokens").fallback);
  EXPECT_EQ(request.priority, integer_range("priority").fallback);
}

// npm openai 6.49: chat.completions.create with every field that we honour.
TEST(ChatRequest, OfTheOpenAiSdk) {
  const GenerationRequest request = chat_of(R"({
    "model": "glm-4v", "messages": [
      {"role": "developer", "content": "Be brief."},
      {"role": "user", "name": "ann", "content": [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}},
        {"type": "text", "text": "this?"},
        {"type": "image_url", "image_url": {"url": "https://a.example/b.jpg"}}]}],
    "max_completion_tokens": 50, "temperature": 0.5, "top_p": 0.9, "n": 2, "seed": 1.0,
    "stop": ["\n\n", "END"], "presence_penalty": 0.5, "frequency_penalty": -0.5,
    "logit_bias": {"5": -100, "17": 2.5}, "logprobs": true, "top_logprobs": 3,
    "stream": true, "stream_options": {"include_usage": true, "include_obfuscation": false},
    "response_format": {"type": "text"}, "user": "u", "metadata": {"a": "b"}, "store": false,
    "service_tier": "auto", "reasoning_effort": "low", "modalities": ["text"],
    "safety_identifier": "s", "prompt_cache_key": "k", "verbosity": null})");
  ASSERT_EQ(request.messages.size(), 2U);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[0].content, "Be brief.");
  EXPECT_EQ(request.messages[1].content, "What is this?");
  EXPECT_THAT(request.messages[1].images,
              ElementsAre("data:image/png;base64,AAAA", "https://a.example/b.jpg"));
  ASSERT_EQ(request.pictures.size(), 2U);
  EXPECT_EQ(request.pictures[0].param, "messages[1].content[1].image_url.url");
  EXPECT_EQ(request.pictures[0].detail, "high");
  EXPECT_EQ(request.pictures[1].param, "messages[1].content[3].image_url.url");
  EXPECT_EQ(request.pictures[1].detail, "auto");
  EXPECT_EQ(request.max_tokens, 50);
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.n, 2);
  EXPECT_TRUE(request.has_seed);
  EXPECT_EQ(request.sampling.seed, 1U);
  EXPECT_THAT(request.stop, ElementsAre("\n\n", "END"));
  EXPECT_EQ(request.sampling.presence_penalty, 0.5);
  EXPECT_EQ(request.sampling.frequency_penalty, -0.5);
  ASSERT_EQ(request.sampling.logit_bias.size(), 2U);
  EXPECT_EQ(request.sampling.logit_bias[0].id, 5);
  EXPECT_EQ(request.sampling.logit_bias[0].bias, -100);
  EXPECT_EQ(request.sampling.logit_bias[1].bias, 2.5);
  EXPECT_EQ(request.sampling.num_logprobs, 3);
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
  EXPECT_FALSE(request.continuous_usage);
  EXPECT_THAT(request.ignored_fields, ElementsAre("reasoning_effort"));
  EXPECT_EQ(request.priority, 1);
  EXPECT_EQ(request.service_tier, "default");
}

TEST(ChatRequest, ToolsThereAndBack) {
  const GenerationRequest request = chat_of(R"({
    "messages": [
      {"role": "user", "content": "Weather in Bonn and Ulm?"},
      {"role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "w", "arguments": "{\"c\":1}"}},
        {"id": "call_2", "type": "function", "function": {"name": "w", "arguments": "{\"c\":2}"}}]},
      {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
      {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
      {"role": "assistant", "content": "Sun. And", "tool_calls": [
        {"id": "call_3", "type": "function", "function": {"name": "w", "arguments": "{}"}}]}],
    "tools": [{"type": "function", "function": {"name": "w", "description": "d", "strict": true,
               "parameters": {"type": "object", "properties": {"c": {"type": "integer"}}}}}],
    "tool_choice": {"type": "function", "function": {"name": "w"}},
    "parallel_tool_calls": false})");
  ASSERT_EQ(request.messages.size(), 7U);
  EXPECT_EQ(request.messages[1].role, "assistant");
  EXPECT_EQ(request.messages[1].metadata, "w");
  EXPECT_EQ(request.messages[1].content, R"({"c":1})");
  EXPECT_EQ(request.messages[2].content, R"({"c":2})");
  EXPECT_EQ(request.messages[3].role, "observation");
  EXPECT_EQ(request.messages[3].content, "sun");
  EXPECT_EQ(request.messages[4].content, "rain");
  EXPECT_EQ(request.messages[5].metadata, "");
  EXPECT_EQ(request.messages[5].content, "Sun. And");
  EXPECT_EQ(request.messages[6].metadata, "w");
  EXPECT_EQ(json::serialize(request.tools),
            R"([{"type":"function","function":{"name":"w","description":"d","parameters":)"
            R"({"type":"object","properties":{"c":{"type":"integer"}}},"strict":true}}])");
  EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kNamed);
  EXPECT_EQ(request.tool_choice.name, "w");
  EXPECT_FALSE(request.parallel_tool_calls);
  EXPECT_THAT(request.ignored_fields, IsEmpty());
}

TEST(ChatRequest, FiveToolChoices) {
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}},
                                        {"type":"function","function":{"name":"g"}}],)";
  using Kind = ToolChoice::Kind;
  EXPECT_EQ(chat_with(tools + R"("n":1)").tool_choice.kind, Kind::kAuto);
  EXPECT_EQ(chat_with(tools + R"("tool_choice":"auto")").tool_choice.kind, Kind::kAuto);
  EXPECT_EQ(chat_with(tools + R"("tool_choice":"none")").tool_choice.kind, Kind::kNone);
  EXPECT_EQ(chat_with(tools + R"("tool_choice":"required")").tool_choice.kind, Kind::kRequired);
  EXPECT_EQ(chat_with(R"("tool_choice":"none")").tool_choice.kind, Kind::kNone);
  const GenerationRequest request = chat_with(tools + R"("tool_choice":{"type":"allowed_tools",
      "allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"g"}}]}})");
  EXPECT_EQ(request.tool_choice.kind, Kind::kRequired);
  EXPECT_EQ(json::serialize(request.tools), R"([{"type":"function","function":{"name":"g"}}])");
}

// @ai-sdk/openai-compatible 2.0: the name comes after the schema, which has a $schema.
TEST(ChatRequest, StructuredOutputOfTheVercelSdk) {
  const GenerationRequest request = chat_with(R"("response_format":{"type":"json_schema",
      "json_schema":{"schema":{"$schema":"http://json-schema.org/draft-07/schema#",
      "type":"object"},"strict":true,"name":"response"}})");
  EXPECT_EQ(request.format.kind, OutputFormat::Kind::kJsonSchema);
  EXPECT_EQ(request.format.param, "response_format.json_schema.schema");
  EXPECT_EQ(json::serialize(request.format.schema),
            R"({"$schema":"http://json-schema.org/draft-07/schema#","type":"object"})");
}

// @langchain/openai 1.5: every field is there, many of them null, stream is false.
TEST(ChatRequest, OfLangChain) {
  const GenerationRequest request = chat_of(R"({"model":"m","stream":false,"stop":null,"n":null,
      "temperature":null,"messages":[{"role":"user","content":"hi"},
      {"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function",
      "function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"1"}],
      "tools":[],"response_format":null,"stream_options":null,"tool_choice":null})");
  EXPECT_EQ(request.sampling.temperature, 1);
  ASSERT_EQ(request.messages.size(), 3U);
  EXPECT_EQ(request.messages[1].metadata, "f");
}

// The message with a bare string as its picture is LangChain's old form; vLLM takes it, too.
TEST(ChatRequest, PictureAsABareString) {
  const GenerationRequest request = chat_of(
      R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:,x"}]}]})");
  EXPECT_THAT(request.messages.at(0).images, ElementsAre("data:,x"));
  EXPECT_EQ(request.pictures.at(0).param, "messages[0].content[0].image_url");
}

TEST(ChatRequest, OfVllmsClients) {
  const GenerationRequest request = chat_with(R"("top_k":-1,"min_p":0.05,"repetition_penalty":1.1,
      "max_tokens":9,"max_completion_tokens":9.0,"min_tokens":3,"ignore_eos":true,"seed":-7,
      "stop_token_ids":[4,5],"include_stop_str_in_output":true,"skip_special_tokens":false,
      "priority":0,"cache_salt":"s","return_token_ids":true,"return_progress":true,"stream":true,
      "stream_options":{"include_usage":true,"continuous_usage_stats":true},
      "structured_outputs":{"choice":["yes","no"]},
      "chat_template_kwargs":{"enable_thinking":false}, "add_generation_prompt":false)");
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.min_p, 0.05);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.min_tokens, 3);
  EXPECT_TRUE(request.ignore_eos);
  EXPECT_TRUE(request.has_seed);
  EXPECT_EQ(request.sampling.seed, static_cast<std::uint64_t>(-7));
  EXPECT_THAT(request.stop_token_ids, ElementsAre(4, 5));
  EXPECT_TRUE(request.include_stop);
  EXPECT_FALSE(request.skip_special_tokens);
  EXPECT_EQ(request.priority, 0);
  EXPECT_EQ(request.cache_salt, "s");
  EXPECT_TRUE(request.return_token_ids);
  EXPECT_TRUE(request.return_progress);
  EXPECT_TRUE(request.continuous_usage);
  EXPECT_EQ(request.format.kind, OutputFormat::Kind::kChoice);
  EXPECT_THAT(request.format.choices, ElementsAre("yes", "no"));
  EXPECT_FALSE(request.add_generation_prompt);
  EXPECT_THAT(request.ignored_fields, ElementsAre("chat_template_kwargs.enable_thinking"));
}

TEST(ChatRequest, FormatsOfStructuredOutputs) {
  using Kind = OutputFormat::Kind;
  EXPECT_EQ(chat_with(R"("structured_outputs":{"regex":"a+"})").format.regex, "a+");
  EXPECT_EQ(chat_with(R"("structured_outputs":{"json_object":true})").format.kind,
            Kind::kJsonObject);
  const OutputFormat object = chat_with(R"("structured_outputs":{"json":{"type":"null"}})").format;
  const OutputFormat text =
      chat_with(R"("structured_outputs":{"json":"{\"type\":\"null\"}"})").format;
  EXPECT_EQ(object.kind, Kind::kJsonSchema);
  EXPECT_EQ(object.schema, text.schema);
  EXPECT_EQ(text.param, "structured_outputs.json");
  EXPECT_EQ(chat_with(R"("response_format":{"type":"json_object"})").format.kind,
            Kind::kJsonObject);
  EXPECT_EQ(chat_with(R"("response_format":{"type":"json_object","schema":{}})").format.kind,
            Kind::kJsonSchema);
  EXPECT_EQ(chat_with(R"("response_format":{"type":"json_schema","json_schema":{"name":"a"}})")
                .format.kind,
            Kind::kJsonObject);
}

TEST(ChatRequest, SmallMercies) {
  EXPECT_EQ(chat_with(R"("repeat_penalty":1.2)").sampling.repetition_penalty, 1.2);
  EXPECT_FALSE(chat_with(R"("seed":-1)").has_seed);
  EXPECT_EQ(chat_with(R"("seed":-9223372036854775808)").sampling.seed, std::uint64_t{1} << 63);
  EXPECT_FALSE(std::signbit(chat_with(R"("temperature":-0.0)").sampling.temperature));
  EXPECT_EQ(chat_with(R"("seed":-0)").sampling.seed, 0U);
  EXPECT_EQ(chat_with(R"("max_tokens":1e3)").max_tokens, 1000);
  EXPECT_EQ(chat_with(R"("logprobs":true)").sampling.num_logprobs, 0);
  EXPECT_EQ(chat_with(R"("top_logprobs":0)").sampling.num_logprobs, -1);
  EXPECT_THAT(chat_with(R"("stop":"x")").stop, ElementsAre("x"));
  EXPECT_THAT(chat_with(R"("stop":[])").stop, IsEmpty());
}

TEST(ChatRequest, TheServersLimitOfTokensHolds) {
  RequestLimits limits;
  limits.max_tokens = 100;
  EXPECT_EQ(chat_with(R"("n":1)", limits).max_tokens, 100);
  EXPECT_EQ(chat_with(R"("max_tokens":101)", limits).max_tokens, 100);
  EXPECT_EQ(chat_with(R"("max_tokens":99)", limits).max_tokens, 99);
}

TEST(ChatRequest, GoesOnWithTheLastMessage) {
  const std::string body = R"({{"messages":[{{"role":"user","content":"a"}},
      {{"role":"assistant","content":"It is"}}],{}}})";
  for (const char* fields : {R"("continue_final_message":true)",
                             R"("continue_final_message":true,"add_generation_prompt":false)",
                             R"("chat_template_kwargs":{"continue_final_message":true})"}) {
    const GenerationRequest request = chat_of(fmt::format(fmt::runtime(body), fields));
    EXPECT_TRUE(request.continue_final_message) << fields;
    EXPECT_FALSE(request.add_generation_prompt) << fields;
  }
}

TEST(ChatRequest, UnknownFieldsAreToldAndFitAHeader) {
  const GenerationRequest request = chat_with("\"foo\":1,\"a,b\\r\\nset-cookie\":2,\"\\u4f60\":3");
  EXPECT_THAT(request.ignored_fields, ElementsAre("foo", "a?b??set-cookie", "???"));
  std::string many = "\"n\":1";
  for (int i = 0; i < 1000; ++i) many += fmt::format(",\"x{}{}\":0", i, std::string(100, 'y'));
  const GenerationRequest hostile = chat_with(many);
  EXPECT_EQ(hostile.ignored_fields.size(), 16U);
  for (const std::string& name : hostile.ignored_fields) EXPECT_LE(name.size(), 64U);
}

TEST(ChatRequest, NestingOf64IsFine) {
  std::string deep;
  for (int i = 0; i < 63; ++i) deep += '[';
  for (int i = 0; i < 63; ++i) deep += ']';
  EXPECT_EQ(chat_with("\"metadata\":" + deep).messages.size(), 1U);
}

TEST(CompletionRequest, FourKindsOfPrompt) {
  EXPECT_EQ(std::get<std::string>(completion_of(R"({"prompt":"a"})").prompts.at(0)), "a");
  const auto texts = completion_of(R"({"prompt":["a","b"]})").prompts;
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_EQ(std::get<std::string>(texts[1]), "b");
  EXPECT_THAT(std::get<1>(completion_of(R"({"prompt":[1,2.0,3]})").prompts.at(0)),
              ElementsAre(1, 2, 3));
  const auto lists = completion_of(R"({"prompt":[[1],[2,3]]})").prompts;
  ASSERT_EQ(lists.size(), 2U);
  EXPECT_THAT(std::get<1>(lists[1]), ElementsAre(2, 3));
}

TEST(CompletionRequest, Fields) {
  const GenerationRequest plain = completion_of(R"({"prompt":""})");
  EXPECT_EQ(plain.max_tokens, 16);
  EXPECT_EQ(plain.sampling.num_logprobs, -1);
  EXPECT_THAT(plain.messages, IsEmpty());
  const GenerationRequest request = completion_of(R"({"model":"m","prompt":"a","suffix":null,
      "echo":true,"logprobs":5,"n":2,"best_of":2,"max_tokens":7,"stream":true,"foo":1})");
  EXPECT_TRUE(request.echo);
  EXPECT_EQ(request.sampling.num_logprobs, 5);
  EXPECT_EQ(request.n, 2);
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_THAT(request.ignored_fields, ElementsAre("foo"));
}

TEST(SmallRequests, Tokenize) {
  const auto text = std::get<TokenizeRequest>(
      parse_tokenize(R"({"model":"m","prompt":"a","return_token_strs":true})", {}));
  EXPECT_EQ(std::get<std::string>(text.request.prompts.at(0)), "a");
  EXPECT_EQ(text.request.model, "m");
  EXPECT_TRUE(text.add_special_tokens);
  EXPECT_TRUE(text.return_token_strings);
  const auto chat = std::get<TokenizeRequest>(parse_tokenize(
      R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,"}}]}],
          "tools":[{"type":"function","function":{"name":"f"}}],"add_special_tokens":false})",
      {}));
  EXPECT_EQ(chat.request.pictures.size(), 1U);
  EXPECT_EQ(chat.request.tools.size(), 1U);
  EXPECT_FALSE(chat.add_special_tokens);
}

TEST(ServiceTier, IsAClassOfPriority) {
  const auto read = [](const char* fields) {
    return std::get<GenerationRequest>(parse_chat_completion(chat(fields), test_limits()));
  };
  EXPECT_EQ(read(R"("service_tier":"priority")").priority, 0);
  EXPECT_EQ(read(R"("service_tier":"priority")").service_tier, "priority");
  EXPECT_EQ(read(R"("service_tier":"flex")").priority, 2);
  for (const char* normal : {"auto", "default", "scale"}) {
    const GenerationRequest request = read(fmt::format(R"("service_tier":"{}")", normal).c_str());
    EXPECT_EQ(request.priority, 1);
    EXPECT_EQ(request.service_tier, "default");
  }
  EXPECT_EQ(read(R"("service_tier":null)").service_tier, "");
  EXPECT_EQ(read(R"("service_tier":"flex","priority":0)").priority, 0);
  const auto responses = std::get<GenerationRequest>(
      parse_responses(R"({"input":"hi","service_tier":"flex"})", test_limits()));
  EXPECT_EQ(responses.priority, 2);
  EXPECT_EQ(responses.service_tier, "flex");
}

TEST(MaxPixels, IsAPromiseThatIsKeptOrRefused) {
  RequestLimits limits = test_limits();
  limits.picture_pixels = 1120 * 1120;
  const auto body = [](int max_pixels) {
    return picture(
        fmt::format(R"("url":"data:image/png;base64,AAAA","max_pixels":{})", max_pixels));
  };
  const ParsedRequest enough = parse_chat_completion(body(1120 * 1120), limits);
  ASSERT_TRUE(std::holds_alternative<GenerationRequest>(enough));
  EXPECT_TRUE(std::get<GenerationRequest>(enough).ignored_fields.empty());
  const ParsedRequest less = parse_chat_completion(body(1120 * 1120 - 1), limits);
  ASSERT_TRUE(std::holds_alternative<ApiError>(less));
  EXPECT_EQ(std::get<ApiError>(less).param, "messages[0].content[0].image_url.max_pixels");
  EXPECT_EQ(std::get<ApiError>(less).code, "unsupported_value");
  EXPECT_NE(std::get<ApiError>(less).message.find("1254400"), std::string::npos);
  EXPECT_TRUE(std::holds_alternative<ApiError>(parse_chat_completion(body(0), limits)));
}

TEST(SmallRequests, Render) {
  RenderReply reply;
  reply.prompt = "<|user|>\n\xff\"";
  reply.tokens = {7, 8, 9, 10};
  reply.images = {{.token_index = 1, .offset = 1, .length = 18}};
  reply.count = 19;
  reply.image_tokens = 18;
  reply.context_tokens = 8192;
  EXPECT_EQ(render_body(reply),
            "{\"prompt\":\"<|user|>\\n\xef\xbf\xbd\\\"\",\"token_ids\":[7,8,9,10],"
            "\"images\":[{\"token_index\":1,\"offset\":1,\"length\":18}],\"count\":19,"
            "\"image_tokens\":18,\"max_model_len\":8192}");
}

TEST(SmallRequests, Detokenize) {
  const auto request =
      std::get<DetokenizeRequest>(parse_detokenize(R"({"tokens":[1,2],"x":0})", {}));
  EXPECT_THAT(request.tokens, ElementsAre(1, 2));
  EXPECT_THAT(request.ignored_fields, ElementsAre("x"));
  EXPECT_EQ(detokenize_body("a\xff\""), "{\"prompt\":\"a\xef\xbf\xbd\\\"\"}");
}

TEST(SmallRequests, Bodies) {
  TokenizeReply reply;
  reply.tokens = {7, 8};
  reply.token_strings = {"a", "\xe4\xbd"};
  reply.count = 1602;
  reply.image_tokens = 1600;
  reply.context_tokens = 8192;
  EXPECT_EQ(tokenize_body(reply, false),
            R"({"count":1602,"max_model_len":8192,"tokens":[7,8],"token_strs":null,)"
            R"("image_tokens":1600})");
  EXPECT_NE(tokenize_body(reply, true).find("\"token_strs\":[\"a\",\"\xef\xbf\xbd\"]"),
            std::string::npos);
  ServedModel model;
  model.id = "glm-4v";
  model.created = 5;
  model.context_tokens = 8192;
  model.image_tokens = 1600;
  model.input_modalities = {"text", "image"};
  const std::string body = model_body(model);
  EXPECT_EQ(body, R"({"id":"glm-4v","object":"model","created":5,"owned_by":"cardloom",)"
                  R"("max_model_len":8192,"architecture":{"input_modalities":["text","image"],)"
                  R"("output_modalities":["text"]},"limits":{"context_tokens":8192,)"
                  R"("image_tokens":1600}})");
  EXPECT_EQ(models_body({model, model}), R"({"object":"list","data":[)" + body + "," + body + "]}");
}

}  // namespace
}  // namespace cardloom::api
