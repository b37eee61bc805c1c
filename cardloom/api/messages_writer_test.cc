#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "cardloom/api/api.h"

namespace cardloom::api {
namespace {

std::unique_ptr<ReplyWriter> make_writer() {
  ReplyIdentity identity;
  identity.id_suffix = "abc";
  identity.model = "glm";
  identity.created = 1700000000;
  return make_messages_writer({}, identity);
}

Usage usage_of(std::int64_t completion_tokens) {
  Usage usage;
  usage.prompt_tokens = 20;
  usage.cached_tokens = 16;
  usage.completion_tokens = completion_tokens;
  return usage;
}

ReplyDelta text_delta(std::string text) {
  ReplyDelta delta;
  delta.text = std::move(text);
  return delta;
}

ReplyDelta call_delta(std::int64_t index, std::string id, std::string name, std::string arguments) {
  ReplyDelta delta;
  delta.tool_calls.push_back({index, std::move(id), std::move(name), std::move(arguments)});
  return delta;
}

constexpr std::string_view kPing = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
constexpr std::string_view kStart =
    "event: message_start\n"
    R"(data: {"type":"message_start","message":{"id":"msg_abc","type":"message",)"
    R"("role":"assistant","model":"glm","content":[],"stop_reason":null,"stop_sequence":null,)"
    R"("usage":{"input_tokens":4,"cache_creation_input_tokens":0,"cache_read_input_tokens":16,)"
    R"("output_tokens":1}}})"
    "\n\n";
constexpr std::string_view kTextStart =
    "event: content_block_start\n"
    R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"
    "\n\n";

std::string text_event(int index, std::string_view text) {
  return "event: content_block_delta\n"
         R"(data: {"type":"content_block_delta","index":)" +
         std::to_string(index) + R"(,"delta":{"type":"text_delta","text":")" + std::string(text) +
         "\"}}\n\n";
}

std::string stop_event(int index) {
  return "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":" +
         std::to_string(index) + "}\n\n";
}

/// What pictures, the queue and the model took; a client of Anthropic's passes it over.
ReplyTimings timings() {
  ReplyTimings timings;
  timings.queue_ms = 1.5;
  timings.image_encode_ms = 4;
  return timings;
}
constexpr std::string_view kTimings =
    R"(,"timings":{"queue_ms":1.5,"image_fetch_ms":0,"image_decode_ms":0,)"
    R"("image_preprocess_ms":0,"image_encode_ms":4,"prefill_ms":0,"first_token_ms":0,)"
    R"("decode_ms":0,"tokens_per_second":0}})";

std::string end_events(std::string_view delta, int output_tokens) {
  return "event: message_delta\n"
         R"(data: {"type":"message_delta","delta":)" +
         std::string(delta) +
         R"(,"usage":{"input_tokens":4,"cache_creation_input_tokens":0,)"
         R"("cache_read_input_tokens":16,"output_tokens":)" +
         std::to_string(output_tokens) + "}" + std::string(kTimings) +
         "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
}

TEST(MessagesWriterTest, StreamsText) {
  const auto writer = make_writer();
  EXPECT_EQ(writer->begin(), kPing);
  EXPECT_EQ(writer->progress({}), kPing);
  EXPECT_EQ(writer->delta(text_delta("He"), usage_of(1)),
            std::string(kStart) + std::string(kTextStart) + text_event(0, "He"));
  EXPECT_EQ(writer->delta({}, usage_of(2)), "");
  EXPECT_EQ(writer->delta(text_delta("y\n"), usage_of(2)), text_event(0, "y\\n"));
  EXPECT_EQ(writer->end_choice(0, ReplyEnd::kStop, ""), stop_event(0));
  EXPECT_EQ(writer->end(usage_of(3), timings()),
            end_events(R"({"stop_reason":"end_turn","stop_sequence":null})", 3));
}

TEST(MessagesWriterTest, StreamsTextAndCalls) {
  const auto writer = make_writer();
  static_cast<void>(writer->begin());
  EXPECT_EQ(writer->delta(text_delta("Hm"), usage_of(1)),
            std::string(kStart) + std::string(kTextStart) + text_event(0, "Hm"));
  EXPECT_EQ(writer->delta(call_delta(0, "call_X", "get", "{\"a\""), usage_of(2)),
            stop_event(0) +
                "event: content_block_start\n"
                R"(data: {"type":"content_block_start","index":1,"content_block":)"
                R"({"type":"tool_use","id":"toolu_X","name":"get","input":{}}})"
                "\n\nevent: content_block_delta\n"
                R"(data: {"type":"content_block_delta","index":1,"delta":)"
                R"({"type":"input_json_delta","partial_json":"{\"a\""}})"
                "\n\n");
  // The first call's rest, text, and the next call at once.
  ReplyDelta mixed = call_delta(0, "", "", ":1}");
  mixed.text = "so";
  mixed.tool_calls.push_back({1, "Y", "put", ""});
  EXPECT_EQ(writer->delta(mixed, usage_of(3)),
            "event: content_block_delta\n"
            R"(data: {"type":"content_block_delta","index":1,"delta":)"
            R"({"type":"input_json_delta","partial_json":":1}"}})"
            "\n\n" +
                stop_event(1) +
                "event: content_block_start\n"
                R"(data: {"type":"content_block_start","index":2,"content_block":)"
                R"({"type":"text","text":""}})"
                "\n\n" +
                text_event(2, "so") + stop_event(2) +
                "event: content_block_start\n"
                R"(data: {"type":"content_block_start","index":3,"content_block":)"
                R"({"type":"tool_use","id":"toolu_Y","name":"put","input":{}}})"
                "\n\n");
  EXPECT_EQ(writer->end_choice(0, ReplyEnd::kToolCalls, ""), stop_event(3));
  EXPECT_EQ(writer->end(usage_of(4), timings()),
            end_events(R"({"stop_reason":"tool_use","stop_sequence":null})", 4));
}

TEST(MessagesWriterTest, EndsAnEmptyReply) {
  const auto writer = make_writer();
  static_cast<void>(writer->begin());
  EXPECT_EQ(writer->end_choice(0, ReplyEnd::kLength, ""), "");
  EXPECT_EQ(
      writer->end(usage_of(1), timings()),
      std::string(kStart) + end_events(R"({"stop_reason":"max_tokens","stop_sequence":null})", 1));
}

TEST(MessagesWriterTest, NamesTheStopSequence) {
  const auto writer = make_writer();
  static_cast<void>(writer->delta(text_delta("x"), usage_of(1)));
  static_cast<void>(writer->end_choice(0, ReplyEnd::kStop, "END"));
  EXPECT_EQ(writer->end(usage_of(2), timings()),
            end_events(R"({"stop_reason":"stop_sequence","stop_sequence":"END"})", 2));
}

TEST(MessagesWriterTest, Fails) {
  const auto writer = make_writer();
  ApiError error;
  error.status = 503;
  error.message = "a card is gone";
  EXPECT_EQ(writer->fail(error),
            "event: error\n"
            R"(data: {"type":"error","error":{"type":"overloaded_error",)"
            R"("message":"a card is gone"},"request_id":null})"
            "\n\n");
}

TEST(MessagesWriterTest, WritesAWholeMessage) {
  ReplyChoice choice;
  choice.text = "Let me \"see\".";
  choice.tool_calls = {{"call_X", "get", R"({"n": 1.50})"}, {"call_Y", "put", R"({"n": )"}};
  choice.end = ReplyEnd::kToolCalls;
  const std::string body = make_writer()->body({choice}, usage_of(7), timings());
  EXPECT_EQ(body,
            R"({"id":"msg_abc","type":"message","role":"assistant","model":"glm","content":[)"
            R"({"type":"text","text":"Let me \"see\"."},)"
            R"({"type":"tool_use","id":"toolu_X","name":"get","input":{"n": 1.50}},)"
            R"({"type":"tool_use","id":"toolu_Y","name":"put",)"
            R"("input":{"unparsed_arguments":"{\"n\": "}}],)"
            R"("stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":4,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":16,"output_tokens":7})" +
                std::string(kTimings));
  boost::system::error_code failure;
  static_cast<void>(boost::json::parse(body, failure));
  EXPECT_FALSE(failure);
}

}  // namespace
}  // namespace cardloom::api
