// What OpenAI's clients read, byte for byte.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "cardloom/api/api.h"
#include "cardloom/base/json.h"

namespace cardloom::api {
namespace {

constexpr const char* kChunkHead =
    R"(data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":1700000000,)"
    R"("model":"glm-4v","system_fingerprint":"fp_1","choices":[)";
constexpr const char* kBodyHead =
    R"({"id":"chatcmpl-abc","object":"chat.completion","created":1700000000,)"
    R"("model":"glm-4v","system_fingerprint":"fp_1","choices":[)";
constexpr const char* kCompletionHead =
    R"({"id":"cmpl-abc","object":"text_completion","created":1700000000,)"
    R"("model":"glm-4v","system_fingerprint":"fp_1","choices":[)";
constexpr const char* kUsage =
    R"("usage":{"prompt_tokens":1610,"completion_tokens":5,"total_tokens":1615,)"
    R"("prompt_tokens_details":{"cached_tokens":64,"image_tokens":1600},)"
    R"("completion_tokens_details":{"reasoning_tokens":0}})";
constexpr const char* kTimings =
    R"("timings":{"queue_ms":1.5,"image_fetch_ms":0,"image_decode_ms":2,"image_preprocess_ms":3,)"
    R"("image_encode_ms":4,"prefill_ms":5,"first_token_ms":15.5,"decode_ms":10,)"
    R"("tokens_per_second":500}})";

ReplyIdentity identity() { return {"abc", "glm-4v", 1700000000, "fp_1"}; }

Usage usage() {
  Usage usage;
  usage.prompt_tokens = 1610;
  usage.image_tokens = 1600;
  usage.cached_tokens = 64;
  usage.completion_tokens = 5;
  return usage;
}

ReplyTimings timings() {
  ReplyTimings timings;
  timings.queue_ms = 1.5;
  timings.image_decode_ms = 2;
  timings.image_preprocess_ms = 3;
  timings.image_encode_ms = 4;
  timings.prefill_ms = 5;
  timings.first_token_ms = 15.5;
  timings.decode_ms = 10;
  timings.tokens_per_second = 500;
  return timings;
}

/// One event, whose JSON must be whole.
std::string event(const std::string& head, const std::string& rest) {
  const std::string text = head + rest;
  EXPECT_TRUE(parse_json(std::string_view(text).substr(6), "the event").has_value()) << text;
  return text + "\n\n";
}

std::string checked_body(const std::string& body) {
  EXPECT_TRUE(parse_json(body, "the body").has_value()) << body;
  return body;
}

ReplyDelta text_delta(std::string text, std::int64_t choice = 0) {
  ReplyDelta delta;
  delta.choice = choice;
  delta.text = std::move(text);
  return delta;
}

TokenDetail half_a_character() {
  TokenDetail detail;
  detail.chosen = {7, "\xe4\xbd", -0.5};
  detail.top = {{7, "\xe4\xbd", -0.5}, {8, "\"", -2}};
  return detail;
}

TEST(ChatCompletionStream, AsOpenAiSendsIt) {
  const auto writer = make_chat_completion_writer({}, identity());
  EXPECT_EQ(writer->begin(),
            event(kChunkHead, R"({"index":0,"delta":{"role":"assistant","content":""},)"
                              R"("logprobs":null,"finish_reason":null}]})"));
  EXPECT_EQ(writer->delta(text_delta("a \"b\"\n你好\xe2\x80\xa8"), usage()),
            event(kChunkHead, R"({"index":0,"delta":{"content":"a \"b\"\n你好\u2028"},)"
                              R"("logprobs":null,"finish_reason":null}]})"));
  EXPECT_EQ(writer->delta({}, usage()), "");
  EXPECT_EQ(writer->progress({}), "");
  EXPECT_EQ(writer->ping(), ": ping\n\n");
  EXPECT_EQ(
      writer->end_choice(0, ReplyEnd::kLength, ""),
      event(kChunkHead, R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]})"));
  EXPECT_EQ(writer->end(usage(), timings()), "data: [DONE]\n\n");
}

TEST(ChatCompletionStream, UsageAndTimingsComeLast) {
  GenerationRequest request;
  request.include_usage = true;
  const auto writer = make_chat_completion_writer(request, identity());
  const std::string rest = R"("logprobs":null,"finish_reason":null}],"usage":null})";
  EXPECT_EQ(writer->begin(),
            event(kChunkHead, R"({"index":0,"delta":{"role":"assistant","content":""},)" + rest));
  EXPECT_EQ(writer->delta(text_delta("a"), usage()),
            event(kChunkHead, R"({"index":0,"delta":{"content":"a"},)" + rest));
  EXPECT_EQ(writer->end(usage(), timings()),
            event(kChunkHead, fmt::format("],{},{}", kUsage, kTimings)) + "data: [DONE]\n\n");
}

TEST(ChatCompletionStream, UsageInEveryChunk) {
  GenerationRequest request;
  request.include_usage = request.continuous_usage = true;
  const auto writer = make_chat_completion_writer(request, identity());
  EXPECT_EQ(writer->delta(text_delta("a"), usage()),
            event(kChunkHead, fmt::format(R"({{"index":0,"delta":{{"content":"a"}},)"
                                          R"("logprobs":null,"finish_reason":null}}],{}}})",
                                          kUsage)));
  EXPECT_EQ(writer->end_choice(0, ReplyEnd::kStop, "END"),
            event(kChunkHead, fmt::format(R"({{"index":0,"delta":{{}},"logprobs":null,)"
                                          R"("finish_reason":"stop"}}],{}}})",
                                          kUsage)));
}

TEST(ChatCompletionStream, EveryChoiceHasItsRole) {
  GenerationRequest request;
  request.n = 2;
  const auto writer = make_chat_completion_writer(request, identity());
  const char* rest =
      R"("delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]})";
  EXPECT_EQ(writer->begin(), event(kChunkHead, R"({"index":0,)" + std::string(rest)) +
                                 event(kChunkHead, R"({"index":1,)" + std::string(rest)));
  EXPECT_EQ(writer->delta(text_delta("a", 1), usage()).find(R"("choices":[{"index":1,)"),
            std::string(kChunkHead).size() - 11);
}

TEST(ChatCompletionStream, ThePromptsIdsComeOnceAndAtOnce) {
  GenerationRequest request;
  request.return_token_ids = true;
  request.n = 2;
  ReplyIdentity with_ids = identity();
  with_ids.prompt_ids = {{5, 6}};
  const auto writer = make_chat_completion_writer(request, with_ids);
  const std::string bytes = writer->begin();
  EXPECT_NE(bytes.find(R"(}],"prompt_token_ids":[5,6]})"), std::string::npos) << bytes;
  EXPECT_EQ(bytes.find("prompt_token_ids"), bytes.rfind("prompt_token_ids"));
  EXPECT_EQ(writer->end_choice(0, ReplyEnd::kStop, {}).find("prompt_token_ids"), std::string::npos);
}

TEST(ChatCompletionStream, TheServiceTierIsToldIfAskedFor) {
  GenerationRequest request;
  request.service_tier = "flex";
  const auto writer = make_chat_completion_writer(request, identity());
  const std::string head = R"("system_fingerprint":"fp_1","service_tier":"flex","choices":[)";
  EXPECT_NE(writer->begin().find(head), std::string::npos);
  EXPECT_NE(writer->body(std::vector<ReplyChoice>(1), {}, {}).find(head), std::string::npos);
}

TEST(ChatCompletionStream, ToolCallsComePieceByPiece) {
  const auto writer = make_chat_completion_writer({}, identity());
  ReplyDelta delta;
  delta.tool_calls.push_back({0, "call_1", "weather", ""});
  EXPECT_EQ(
      writer->delta(delta, usage()),
      event(kChunkHead, R"({"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1",)"
                        R"("type":"function","function":{"name":"weather","arguments":""}}]},)"
                        R"("logprobs":null,"finish_reason":null}]})"));
  delta.tool_calls = {{0, "", "", "{\"a\""}};
  EXPECT_EQ(writer->delta(delta, usage()),
            event(kChunkHead, R"({"index":0,"delta":{"tool_calls":[{"index":0,)"
                              R"("function":{"arguments":"{\"a\""}}]},)"
                              R"("logprobs":null,"finish_reason":null}]})"));
  EXPECT_NE(writer->end_choice(0, ReplyEnd::kToolCalls, "").find(R"("finish_reason":"tool_calls")"),
            std::string::npos);
}

TEST(ChatCompletionStream, LogprobsHaveTheExactBytes) {
  GenerationRequest request;
  request.return_token_ids = true;
  const auto writer = make_chat_completion_writer(request, identity());
  ReplyDelta delta;
  delta.logprobs = {half_a_character()};
  delta.token_ids = {7};
  EXPECT_EQ(
      writer->delta(delta, usage()),
      event(kChunkHead,
            R"({"index":0,"delta":{"content":""},"logprobs":{"content":[)"
            "{\"token\":\"\xef\xbf\xbd\",\"logprob\":-0.5,\"bytes\":[228,189],\"top_logprobs\":["
            "{\"token\":\"\xef\xbf\xbd\",\"logprob\":-0.5,\"bytes\":[228,189]},"
            R"({"token":"\"","logprob":-2,"bytes":[34]}]}],"refusal":null},)"
            R"("token_ids":[7],"finish_reason":null}]})"));
}

TEST(ChatCompletionStream, Progress) {
  GenerationRequest request;
  request.return_progress = true;
  const auto writer = make_chat_completion_writer(request, identity());
  EXPECT_EQ(writer->progress({1, 2, 512, 3300}),
            event(kChunkHead, R"(],"prompt_progress":{"images_done":1,"images":2,)"
                              R"("tokens_done":512,"tokens":3300}})"));
}

TEST(ChatCompletionStream, AFailureIsTheLastEvent) {
  ApiError error;
  error.status = 500;
  error.type = "server_error";
  error.code = "internal_error";
  error.message = "oh \"no\" \xff";
  for (const auto& writer :
       {make_chat_completion_writer({}, identity()), make_completion_writer({}, identity())}) {
    EXPECT_EQ(writer->fail(error),
              event("data: ",
                    "{\"error\":{\"message\":\"oh \\\"no\\\" \xef\xbf\xbd\","
                    "\"type\":\"server_error\",\"param\":null,\"code\":\"internal_error\"}}"));
  }
}

TEST(ChatCompletionBody, TextAndLogprobs) {
  const auto writer = make_chat_completion_writer({}, identity());
  ReplyChoice choice;
  choice.text = "hi";
  TokenDetail detail;
  detail.chosen = {3, "hi", -std::numeric_limits<double>::infinity()};
  choice.logprobs = {detail};
  EXPECT_EQ(checked_body(writer->body({choice}, usage(), timings())),
            fmt::format(R"({}{{"index":0,"message":{{"role":"assistant","content":"hi",)"
                        R"("refusal":null}},"logprobs":{{"content":[{{"token":"hi",)"
                        R"("logprob":null,"bytes":[104,105],"top_logprobs":[]}}],)"
                        R"("refusal":null}},"finish_reason":"stop"}}],{},{})",
                        kBodyHead, kUsage, kTimings));
}

TEST(ChatCompletionBody, ToolCallsOnly) {
  const auto writer = make_chat_completion_writer({}, identity());
  ReplyChoice choice;
  choice.tool_calls = {{"call_1", "f", "{}"}, {"call_2", "g", "{\"a\":1}"}};
  choice.end = ReplyEnd::kToolCalls;
  ReplyChoice other;
  other.text = "b";
  EXPECT_EQ(
      checked_body(writer->body({choice, other}, usage(), timings())),
      fmt::format(R"({}{{"index":0,"message":{{"role":"assistant","content":null,"refusal":null,)"
                  R"("tool_calls":[{{"id":"call_1","type":"function","function":{{"name":"f",)"
                  R"("arguments":"{{}}"}}}},{{"id":"call_2","type":"function","function":)"
                  R"({{"name":"g","arguments":"{{\"a\":1}}"}}}}]}},"logprobs":null,)"
                  R"("finish_reason":"tool_calls"}},{{"index":1,"message":{{"role":"assistant",)"
                  R"("content":"b","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],)"
                  R"({},{})",
                  kBodyHead, kUsage, kTimings));
}

TEST(CompletionStream, AsOpenAiSendsIt) {
  GenerationRequest request;
  request.include_usage = true;
  const auto writer = make_completion_writer(request, identity());
  const std::string head = std::string("data: ") + kCompletionHead;
  EXPECT_EQ(writer->begin(), "");
  EXPECT_EQ(writer->delta(text_delta("a"), usage()),
            event(head, R"({"index":0,"text":"a","logprobs":null,"finish_reason":null}],)"
                        R"("usage":null})"));
  EXPECT_EQ(writer->end_choice(0, ReplyEnd::kStop, ""),
            event(head, R"({"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],)"
                        R"("usage":null})"));
  EXPECT_EQ(writer->end(usage(), timings()),
            event(head, fmt::format("],{},{}", kUsage, kTimings)) + "data: [DONE]\n\n");
}

TEST(CompletionStream, LogprobsCountCharacters) {
  GenerationRequest request;
  request.n = 2;
  const auto writer = make_completion_writer(request, identity());
  const std::string head = std::string("data: ") + kCompletionHead;
  // The prompt's echo, then two halves of one character.
  static_cast<void>(writer->delta(text_delta("你好", 1), usage()));
  ReplyDelta delta;
  delta.choice = 1;
  delta.logprobs = {half_a_character()};
  EXPECT_EQ(writer->delta(delta, usage()),
            event(head, R"({"index":1,"text":"","logprobs":{"tokens":["bytes:\\xe4\\xbd"],)"
                        R"("token_logprobs":[-0.5],"top_logprobs":[{"bytes:\\xe4\\xbd":-0.5,)"
                        R"("\"":-2}],"text_offset":[2]},"finish_reason":null}]})"));
  delta.text = "你";
  delta.logprobs[0].chosen.bytes = "\xa0";
  delta.logprobs[0].top.clear();
  EXPECT_NE(writer->delta(delta, usage())
                .find(R"("top_logprobs":[{"bytes:\\xa0":-0.5}],)"
                      R"("text_offset":[3])"),
            std::string::npos);
  EXPECT_NE(writer->delta(text_delta("x", 0), usage()).find("\"index\":0"), std::string::npos);
}

TEST(CompletionStream, EveryChoiceHasItsPromptsIdsOnce) {
  GenerationRequest request;
  request.return_token_ids = true;
  request.prompts = {"a", "b"};
  request.n = 2;
  ReplyIdentity with_ids = identity();
  with_ids.prompt_ids = {{5}, {6}};
  const auto writer = make_completion_writer(request, with_ids);
  for (std::int64_t choice = 0; choice < 4; ++choice) {
    ReplyDelta delta;
    delta.choice = choice;
    delta.token_ids = {9};
    const std::string ids = choice < 2 ? R"("prompt_token_ids":[5],"token_ids":[9])"
                                       : R"("prompt_token_ids":[6],"token_ids":[9])";
    EXPECT_NE(writer->delta(delta, {}).find(ids), std::string::npos);
    EXPECT_EQ(writer->delta(delta, {}).find("prompt_token_ids"), std::string::npos);
  }
  const std::string body = writer->body(std::vector<ReplyChoice>(4), {}, {});
  EXPECT_NE(body.find(R"("index":3,"text":"","logprobs":null,"prompt_token_ids":[6])"),
            std::string::npos)
      << body;
}

TEST(CompletionBody, EchoAndTokens) {
  GenerationRequest request;
  request.return_token_ids = true;
  const auto writer = make_completion_writer(request, identity());
  ReplyChoice choice;
  choice.text = "ab cd";
  TokenDetail detail;
  detail.chosen = {3, " cd", -1};
  choice.logprobs = {detail};
  choice.token_ids = {3};
  choice.end = ReplyEnd::kLength;
  EXPECT_EQ(checked_body(writer->body({choice}, usage(), timings())),
            fmt::format(R"({}{{"index":0,"text":"ab cd","logprobs":{{"tokens":[" cd"],)"
                        R"("token_logprobs":[-1],"top_logprobs":[{{" cd":-1}}],)"
                        R"("text_offset":[2]}},"token_ids":[3],"finish_reason":"length"}}],{},{})",
                        kCompletionHead, kUsage, kTimings));
}

}  // namespace
}  // namespace cardloom::api
