#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "cardloom/api/api.h"

namespace cardloom::api {
namespace {

std::unique_ptr<ReplyWriter> make_writer(const GenerationRequest& request = {}) {
  ReplyIdentity identity;
  identity.id_suffix = "abc";
  identity.model = "glm";
  identity.created = 1700000000;
  return make_responses_writer(request, identity);
}

Usage some_usage() {
  Usage usage;
  usage.prompt_tokens = 20;
  usage.image_tokens = 12;
  usage.cached_tokens = 16;
  usage.completion_tokens = 5;
  return usage;
}

ReplyTimings some_timings() {
  ReplyTimings timings;
  timings.first_token_ms = 1500;
  timings.decode_ms = 1600;
  return timings;
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

/// The events' data, each checked to bear its event's name; ids of items are numbered in the order
/// they come in.
class Events {
 public:
  void add(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find("\n\n");
      ASSERT_NE(end, std::string_view::npos) << bytes;
      const std::string_view event = bytes.substr(0, end);
      bytes.remove_prefix(end + 2);
      const std::size_t line = event.find('\n');
      ASSERT_EQ(event.substr(0, 7), "event: ");
      ASSERT_EQ(event.substr(line, 7), "\ndata: ");
      const json::value data = boost::json::parse(event.substr(line + 7));
      ASSERT_EQ(data.at("type").as_string(), event.substr(7, line - 7));
      ASSERT_EQ(data.at("sequence_number").as_int64(), static_cast<std::int64_t>(data_.size()));
      data_.push_back(data.as_object());
    }
  }

  [[nodiscard]] std::vector<std::string> types() const {
    std::vector<std::string> types;
    for (const json::object& data : data_) types.emplace_back(data.at("type").as_string().c_str());
    return types;
  }

  /// Event `i` without type and number.
  [[nodiscard]] std::string text(std::size_t i) const {
    json::object data = data_.at(i);
    data.stable_erase("type");
    data.stable_erase("sequence_number");
    return boost::json::serialize(data);
  }

  [[nodiscard]] const json::object& operator[](std::size_t i) const { return data_.at(i); }
  [[nodiscard]] std::size_t size() const { return data_.size(); }

 private:
  std::vector<json::object> data_;
};

std::string id_of(const json::object& event) {
  return event.at("item").at("id").as_string().c_str();
}

TEST(ResponsesWriterTest, StreamsText) {
  const auto writer = make_writer();
  Events events;
  events.add(writer->begin());
  EXPECT_EQ(writer->progress({}), ": ping\n\n");
  EXPECT_EQ(writer->ping(), ": ping\n\n");
  events.add(writer->delta(text_delta("A \"cat"), {}));
  EXPECT_EQ(writer->delta({}, {}), "");
  events.add(writer->delta(text_delta("\""), {}));
  events.add(writer->end_choice(0, ReplyEnd::kStop, "END"));
  events.add(writer->end(some_usage(), some_timings()));
  ASSERT_EQ(events.types(),
            (std::vector<std::string>{"response.created", "response.in_progress",
                                      "response.output_item.added", "response.content_part.added",
                                      "response.output_text.delta", "response.output_text.delta",
                                      "response.output_text.done", "response.content_part.done",
                                      "response.output_item.done", "response.completed"}));
  const std::string id = id_of(events[2]);
  EXPECT_EQ(id.substr(0, 4), "msg_");
  EXPECT_EQ(id.size(), 28U);
  const std::string at = R"({"item_id":")" + id + R"(","output_index":0,"content_index":0,)";
  const std::string part =
      R"({"type":"output_text","text":"A \"cat\"","annotations":[],"logprobs":[]})";
  const std::string item = R"({"id":")" + id + R"(","type":"message","status":"completed",)" +
                           R"("role":"assistant","content":[)" + part + "]}";
  EXPECT_EQ(events.text(2), R"({"output_index":0,"item":{"id":")" + id +
                                R"(","type":"message","status":"in_progress",)"
                                R"("role":"assistant","content":[]}})");
  EXPECT_EQ(events.text(3),
            at + R"("part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}})");
  EXPECT_EQ(events.text(4), at + R"("delta":"A \"cat","logprobs":[]})");
  EXPECT_EQ(events.text(5), at + R"("delta":"\"","logprobs":[]})");
  EXPECT_EQ(events.text(6), at + R"("text":"A \"cat\"","logprobs":[]})");
  EXPECT_EQ(events.text(7), at + R"("part":)" + part + "}");
  EXPECT_EQ(events.text(8), R"({"output_index":0,"item":)" + item + "}");
  const json::object& response = events[9].at("response").as_object();
  EXPECT_EQ(boost::json::serialize(response.at("output")), "[" + item + "]");
}

constexpr std::string_view kDefaults =
    R"("previous_response_id":null,"service_tier":"default","store":false,)"
    R"("truncation":"disabled","instructions":null,"max_output_tokens":null,"metadata":{},)"
    R"("parallel_tool_calls":true,"reasoning":{"effort":null,"summary":null},"temperature":1,)"
    R"("text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_logprobs":0,)"
    R"("top_p":1,"user":null)";

TEST(ResponsesWriterTest, WordsTheResponseObject) {
  const auto writer = make_writer();
  Events events;
  events.add(writer->begin());
  events.add(writer->end_choice(0, ReplyEnd::kStop, ""));
  events.add(writer->end(some_usage(), some_timings()));
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events.text(0),
            R"({"response":{"id":"resp_abc","object":"response","created_at":1700000000,)"
            R"("status":"in_progress","background":false,"error":null,"model":"glm","output":[],)" +
                std::string(kDefaults) +
                R"(,"completed_at":null,"incomplete_details":null,"usage":null}})");
  EXPECT_EQ(events.text(1), events.text(0));
  EXPECT_EQ(events.text(2),
            R"({"response":{"id":"resp_abc","object":"response","created_at":1700000000,)"
            R"("status":"completed","background":false,"error":null,"model":"glm","output":[],)" +
                std::string(kDefaults) +
                R"(,"completed_at":1700000003,"incomplete_details":null,"usage":{)"
                R"("input_tokens":20,"input_tokens_details":{"cached_tokens":16,)"
                R"("image_tokens":12},"output_tokens":5,)"
                R"("output_tokens_details":{"reasoning_tokens":0},"total_tokens":25},)"
                R"("timings":{"queue_ms":0,"image_fetch_ms":0,"image_decode_ms":0,)"
                R"("image_preprocess_ms":0,"image_encode_ms":0,"prefill_ms":0,)"
                R"("first_token_ms":1500,"decode_ms":1600,"tokens_per_second":0}}})");
}

TEST(ResponsesWriterTest, StreamsCalls) {
  const auto writer = make_writer();
  Events events;
  events.add(writer->begin());
  events.add(writer->delta(text_delta("Hm"), {}));
  events.add(writer->delta(call_delta(0, "call_X", "get", "{\"a\""), {}));
  // The first call's rest, text, and the next call at once.
  ReplyDelta mixed = call_delta(0, "", "", ":1}");
  mixed.text = "so";
  mixed.tool_calls.push_back({1, "call_Y", "put", "{}"});
  events.add(writer->delta(mixed, {}));
  events.add(writer->end_choice(0, ReplyEnd::kToolCalls, ""));
  events.add(writer->end(some_usage(), {}));
  ASSERT_EQ(events.types(),
            (std::vector<std::string>{"response.created",
                                      "response.in_progress",
                                      "response.output_item.added",
                                      "response.content_part.added",  // Hm
                                      "response.output_text.delta",
                                      "response.output_text.done",
                                      "response.content_part.done",
                                      "response.output_item.done",
                                      "response.output_item.added",  // get, event 8
                                      "response.function_call_arguments.delta",
                                      "response.function_call_arguments.delta",
                                      "response.function_call_arguments.done",
                                      "response.output_item.done",
                                      "response.output_item.added",
                                      "response.content_part.added",  // so, event 13
                                      "response.output_text.delta",
                                      "response.output_text.done",
                                      "response.content_part.done",
                                      "response.output_item.done",
                                      "response.output_item.added",  // put, event 19
                                      "response.function_call_arguments.delta",
                                      "response.function_call_arguments.done",
                                      "response.output_item.done",
                                      "response.completed"}));
  const std::string id = id_of(events[8]);
  EXPECT_EQ(id.substr(0, 3), "fc_");
  EXPECT_EQ(events.text(8), R"({"output_index":1,"item":{"id":")" + id +
                                R"(","type":"function_call","status":"in_progress",)"
                                R"("call_id":"call_X","name":"get","arguments":""}})");
  const std::string at = R"({"item_id":")" + id + R"(","output_index":1,)";
  EXPECT_EQ(events.text(9), at + R"("delta":"{\"a\""})");
  EXPECT_EQ(events.text(10), at + R"("delta":":1}"})");
  EXPECT_EQ(events.text(11), at + R"("name":"get","arguments":"{\"a\":1}"})");
  EXPECT_EQ(events.text(12), R"({"output_index":1,"item":{"id":")" + id +
                                 R"(","type":"function_call","status":"completed",)"
                                 R"("call_id":"call_X","name":"get","arguments":"{\"a\":1}"}})");
  EXPECT_EQ(events[13].at("output_index").as_int64(), 2);
  EXPECT_EQ(events[19].at("output_index").as_int64(), 3);
  EXPECT_EQ(events[23].at("response").at("output").as_array().size(), 4U);
}

TEST(ResponsesWriterTest, EndsIncomplete) {
  const auto writer = make_writer();
  Events events;
  events.add(writer->begin());
  events.add(writer->delta(text_delta("A"), {}));
  events.add(writer->end_choice(0, ReplyEnd::kLength, ""));
  events.add(writer->end(some_usage(), {}));
  const json::object& last = events[events.size() - 1];
  EXPECT_EQ(last.at("type").as_string(), "response.incomplete");
  EXPECT_EQ(last.at("response").at("status").as_string(), "incomplete");
  EXPECT_TRUE(last.at("response").at("completed_at").is_null());
  EXPECT_EQ(boost::json::serialize(last.at("response").at("incomplete_details")),
            R"({"reason":"max_output_tokens"})");
  EXPECT_EQ(last.at("response").at("output").at(0).at("status").as_string(), "incomplete");
}

TEST(ResponsesWriterTest, Fails) {
  const auto writer = make_writer();
  Events events;
  events.add(writer->begin());
  events.add(writer->delta(text_delta("A"), {}));
  ApiError error;
  error.status = 500;
  error.type = "server_error";
  error.message = "a card is gone";
  events.add(writer->fail(error));
  ASSERT_EQ(events.size(), 10U);
  EXPECT_EQ(events[7].at("item").at("status").as_string(), "incomplete");
  const json::object& failed = events[8].at("response").as_object();
  EXPECT_EQ(events[8].at("type").as_string(), "response.failed");
  EXPECT_EQ(failed.at("status").as_string(), "failed");
  EXPECT_EQ(boost::json::serialize(failed.at("error")),
            R"({"code":"server_error","message":"a card is gone"})");
  EXPECT_EQ(failed.at("output").as_array().size(), 1U);
  EXPECT_EQ(events.text(9),
            R"({"code":null,"message":"a card is gone","param":null,"error":)"
            R"({"type":"server_error","code":null,"message":"a card is gone","param":null}})");
}

TokenDetail token(std::string bytes, double logprob) {
  TokenDetail detail;
  detail.chosen = {1, bytes, logprob};
  detail.top.push_back({1, std::move(bytes), logprob});
  return detail;
}

TEST(ResponsesWriterTest, TellsLogprobs) {
  const auto writer = make_writer();
  Events events;
  events.add(writer->begin());
  // The first half of a character is held back; its probability goes with the text.
  ReplyDelta half;
  half.logprobs.push_back(token("\xC3", -0.5));
  EXPECT_EQ(writer->delta(half, {}), "");
  ReplyDelta whole = text_delta("é");
  whole.logprobs.push_back(token("\xA9", -0.25));
  events.add(writer->delta(whole, {}));
  ReplyDelta last = text_delta("a");
  last.logprobs.push_back(token("a", -1));
  events.add(writer->delta(last, {}));
  events.add(writer->end_choice(0, ReplyEnd::kStop, ""));
  EXPECT_EQ(boost::json::serialize(events[4].at("logprobs")),
            "[{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-5E-1,\"bytes\":[195],\"top_logprobs\":"
            "[{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-5E-1,\"bytes\":[195]}]},"
            "{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-2.5E-1,\"bytes\":[169],\"top_logprobs\":"
            "[{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-2.5E-1,\"bytes\":[169]}]}]");
  EXPECT_EQ(events[5].at("logprobs").as_array().size(), 1U);
  EXPECT_EQ(events[6].at("logprobs").as_array().size(), 3U);
  EXPECT_EQ(events[7].at("part").at("logprobs").as_array().size(), 3U);
}

TEST(ResponsesWriterTest, WritesAWholeResponse) {
  GenerationRequest request;
  request.echoed_fields = {
      {"instructions", "Be brief."}, {"metadata", {{"a", "b"}}}, {"temperature", 0.5}};
  ReplyChoice choice;
  choice.text = "Hm";
  choice.logprobs.push_back(token("Hm", -1));
  choice.tool_calls = {{"call_X", "get", R"({"a": 1})"}};
  choice.end = ReplyEnd::kToolCalls;
  const std::string text = make_writer(request)->body({choice}, some_usage(), some_timings());
  EXPECT_NE(text.find(R"("temperature":0.5,)"), std::string::npos) << text;
  const json::value body = boost::json::parse(text);
  EXPECT_EQ(body.at("status").as_string(), "completed");
  EXPECT_EQ(body.at("completed_at").as_int64(), 1700000003);
  EXPECT_EQ(body.at("instructions").as_string(), "Be brief.");
  EXPECT_EQ(body.at("metadata").at("a").as_string(), "b");
  EXPECT_EQ(body.at("temperature").as_double(), 0.5);
  EXPECT_FALSE(body.at("store").as_bool());
  EXPECT_EQ(body.at("usage").at("total_tokens").as_int64(), 25);
  EXPECT_EQ(body.at("timings").at("first_token_ms").to_number<double>(), 1500);
  EXPECT_EQ(body.at("timings").at("image_encode_ms").to_number<double>(), 0);
  const json::array& output = body.at("output").as_array();
  ASSERT_EQ(output.size(), 2U);
  EXPECT_EQ(output[0].at("content").at(0).at("text").as_string(), "Hm");
  EXPECT_EQ(output[0].at("content").at(0).at("logprobs").as_array().size(), 1U);
  EXPECT_EQ(output[1].at("call_id").as_string(), "call_X");
  EXPECT_EQ(output[1].at("arguments").as_string(), R"({"a": 1})");
  EXPECT_NE(output[0].at("id"), output[1].at("id"));
}

}  // namespace
}  // namespace cardloom::api
