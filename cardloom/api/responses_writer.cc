#include <boost/json/serialize.hpp>
#include <utility>

#include "cardloom/api/api.h"
#include "cardloom/api/json_writer.h"
#include "cardloom/api/openai_reply.h"
#include "cardloom/api/tool_call_parser.h"
#include "cardloom/base/utf8.h"

namespace cardloom::api {
namespace {

/// The reply's fields that repeat the request's, as they are if the request does not have them.
struct EchoedField {
  const char* name;
  const char* json;
};
constexpr EchoedField kEchoedFields[] = {
    {"instructions", "null"},
    {"max_output_tokens", "null"},
    {"metadata", "{}"},
    {"parallel_tool_calls", "true"},
    {"reasoning", R"({"effort":null,"summary":null})"},
    {"temperature", "1"},
    {"text", R"({"format":{"type":"text"}})"},
    {"tool_choice", R"("auto")"},
    {"tools", "[]"},
    {"top_logprobs", "0"},
    {"top_p", "1"},
    {"user", "null"},
};

/// `"name":value,` of every one of them.
std::string echo(const json::object& given) {
  std::string bytes;
  JsonWriter json(bytes);
  json.begin_object();
  for (const EchoedField& field : kEchoedFields) {
    const json::value* value = given.if_contains(field.name);
    if (value != nullptr && value->is_double()) {  // Boost.JSON would say 1E0
      json.field(field.name, value->get_double());
      continue;
    }
    json.key(field.name)
        .raw(value == nullptr ? std::string(field.json) : boost::json::serialize(*value));
  }
  return bytes.substr(1);  // without the {
}

void write_usage(JsonWriter& json, const Usage& usage) {
  json.key("usage").begin_object().field("input_tokens", usage.prompt_tokens);
  json.key("input_tokens_details").begin_object();
  json.field("cached_tokens", usage.cached_tokens);
  json.field("image_tokens", usage.image_tokens).end_object();
  json.field("output_tokens", usage.completion_tokens);
  json.key("output_tokens_details").begin_object();
  json.field("reasoning_tokens", std::int64_t{0}).end_object();
  json.field("total_tokens", usage.prompt_tokens + usage.completion_tokens).end_object();
}

const char* item_status(ReplyEnd end) {
  return end == ReplyEnd::kLength ? "incomplete" : "completed";
}

/// `logprobs`: JSON, elements of a list.
void write_part(JsonWriter& json, const std::string& text, const std::string& logprobs) {
  json.begin_object().field("type", "output_text").field("text", text);
  json.key("annotations").raw("[]").key("logprobs").raw("[" + logprobs + "]").end_object();
}

void write_call(JsonWriter& json, const std::string& id, const char* status,
                const ReplyChoice::ToolCall& call) {
  json.begin_object().field("id", id).field("type", "function_call").field("status", status);
  json.field("call_id", call.id).field("name", call.name);
  json.field("arguments", call.arguments).end_object();
}

/// A row of output items, one open at a time; a message item has one part.
class ResponsesWriter final : public ReplyWriter {
 public:
  ResponsesWriter(const GenerationRequest& request, ReplyIdentity identity)
      : identity_(std::move(identity)),
        service_tier_(request.service_tier.empty() ? "default" : request.service_tier),
        echo_(echo(request.echoed_fields)),
        item_ids_(make_id_source(identity_.id_suffix)) {}

  std::string begin() override {
    std::string bytes = response_event("response.created", "in_progress");
    bytes += response_event("response.in_progress", "in_progress");
    return bytes;
  }

  std::string progress(const PromptProgress& /*progress*/) override { return ping(); }

  std::string delta(const ReplyDelta& delta, const Usage& /*so_far*/) override {
    JsonWriter logprobs(fresh_logprobs_);
    append_token_details(logprobs, delta.logprobs);
    std::string bytes;
    // The rest of the open call first: its item cannot be opened again behind text.
    auto call = delta.tool_calls.begin();
    for (; call != delta.tool_calls.end() && call->id.empty(); ++call) bytes += say_call(*call);
    if (!delta.text.empty()) bytes += say_text(delta.text);
    for (; call != delta.tool_calls.end(); ++call) bytes += say_call(*call);
    return bytes;
  }

  std::string end_choice(std::int64_t /*choice*/, ReplyEnd end,
                         const std::string& /*stop_sequence*/) override {
    end_ = end;
    return close_item(item_status(end));
  }

  std::string end(const Usage& usage, const ReplyTimings& timings) override {
    const char* type = end_ == ReplyEnd::kLength ? "response.incomplete" : "response.completed";
    return event(type, [&](JsonWriter& json) {
      json.key("response");
      write_ended(json, usage, timings);
    });
  }

  std::string ping() override { return ": ping\n\n"; }

  std::string fail(const ApiError& failure) override {
    ApiError error = failure;
    error.message = replace_invalid_utf8(error.message);
    std::string bytes = close_item("incomplete");
    bytes += response_event("response.failed", "failed", &error);
    // Flat by OpenAI's types, nested for the clients that raise on a field `error` only.
    return bytes + event("error", [&](JsonWriter& json) {
             json.text_or_null("code", error.code).field("message", error.message);
             json.text_or_null("param", error.param).key("error").begin_object();
             json.field("type", error.type).text_or_null("code", error.code);
             json.field("message", error.message).text_or_null("param", error.param);
             json.end_object();
           });
  }

  std::string body(const std::vector<ReplyChoice>& choices, const Usage& usage,
                   const ReplyTimings& timings) override {
    if (!choices.empty()) take_choice(choices.front());
    std::string bytes;
    JsonWriter json(bytes);
    write_ended(json, usage, timings);
    return bytes;
  }

 private:
  enum class Item { kNone, kMessage, kCall };

  template <class Write>
  std::string event(std::string_view type, Write write) {
    return typed_event(type, [&](JsonWriter& json) {
      json.field("sequence_number", sequence_number_++);
      write(json);
    });
  }

  /// An event about the open item.
  template <class Write>
  std::string item_event(std::string_view type, Write write) {
    return event(type, [&](JsonWriter& json) {
      json.field("item_id", item_id_).field("output_index", num_items_);
      if (open_ == Item::kMessage) json.field("content_index", std::int64_t{0});
      write(json);
    });
  }

  std::string response_event(std::string_view type, const char* status,
                             const ApiError* error = nullptr) {
    return event(type, [&](JsonWriter& json) {
      json.key("response");
      begin_response(json, status, error);
      json.null_field("completed_at").null_field("incomplete_details").null_field("usage");
      json.end_object();
    });
  }

  void begin_response(JsonWriter& json, const char* status, const ApiError* error) const {
    json.begin_object().field("id", "resp_" + identity_.id_suffix).field("object", "response");
    json.field("created_at", identity_.created).field("status", status);
    json.field("background", false).key("error");
    if (error == nullptr) {
      json.null();
    } else {
      json.begin_object().field("code", error->code.empty() ? "server_error" : error->code);
      json.field("message", error->message).end_object();
    }
    json.field("model", identity_.model).key("output").raw("[" + output_ + "]");
    json.null_field("previous_response_id").field("service_tier", service_tier_);
    json.field("store", false).field("truncation", "disabled").raw(echo_);
  }

  void write_ended(JsonWriter& json, const Usage& usage, const ReplyTimings& timings) const {
    if (end_ == ReplyEnd::kLength) {
      begin_response(json, "incomplete", nullptr);
      json.null_field("completed_at").key("incomplete_details");
      json.begin_object().field("reason", "max_output_tokens").end_object();
    } else {
      begin_response(json, "completed", nullptr);
      const double seconds = (timings.first_token_ms + timings.decode_ms) / 1000;
      json.field("completed_at", identity_.created + static_cast<std::int64_t>(seconds));
      json.null_field("incomplete_details");
    }
    write_usage(json, usage);
    append_timings(json.key("timings"), timings);
    json.end_object();
  }

  void write_message(JsonWriter& json, const char* status) const {
    json.begin_object().field("id", item_id_).field("type", "message").field("status", status);
    json.field("role", "assistant").key("content").begin_list();
    if (!text_.empty()) write_part(json, text_, logprobs_);
    json.end_list().end_object();
  }

  std::string say_text(const std::string& text) {
    std::string bytes;
    if (open_ != Item::kMessage) {
      bytes += open_item(Item::kMessage, "msg_");
      bytes += event("response.output_item.added", [&](JsonWriter& json) {
        json.field("output_index", num_items_).key("item");
        write_message(json, "in_progress");
      });
      bytes += item_event("response.content_part.added", [&](JsonWriter& json) {
        json.key("part");
        write_part(json, {}, {});
      });
    }
    text_ += text;
    bytes += item_event("response.output_text.delta", [&](JsonWriter& json) {
      json.field("delta", text).key("logprobs").raw("[" + fresh_logprobs_ + "]");
    });
    keep_logprobs();
    return bytes;
  }

  std::string say_call(const ToolCallDelta& call) {
    fresh_logprobs_.clear();  // this API tells those of text only
    std::string bytes;
    if (!call.id.empty()) {
      bytes += open_item(Item::kCall, "fc_");
      call_ = {call.id, call.name, {}};
      bytes += event("response.output_item.added", [&](JsonWriter& json) {
        json.field("output_index", num_items_).key("item");
        write_call(json, item_id_, "in_progress", call_);
      });
    }
    if (!call.arguments.empty()) {
      call_.arguments += call.arguments;
      bytes += item_event("response.function_call_arguments.delta",
                          [&](JsonWriter& json) { json.field("delta", call.arguments); });
    }
    return bytes;
  }

  std::string open_item(Item kind, std::string_view prefix) {
    std::string bytes = close_item("completed");
    open_ = kind;
    item_id_ = std::string(prefix) + item_ids_();
    text_.clear();
    logprobs_.clear();
    return bytes;
  }

  std::string close_item(const char* status) {
    if (open_ == Item::kNone) return {};
    std::string bytes;
    std::string item;
    JsonWriter item_json(item);
    if (open_ == Item::kMessage) {
      keep_logprobs();
      bytes += item_event("response.output_text.done", [&](JsonWriter& json) {
        json.field("text", text_).key("logprobs").raw("[" + logprobs_ + "]");
      });
      bytes += item_event("response.content_part.done", [&](JsonWriter& json) {
        json.key("part");
        write_part(json, text_, logprobs_);
      });
      write_message(item_json, status);
    } else {
      bytes += item_event("response.function_call_arguments.done", [&](JsonWriter& json) {
        json.field("name", call_.name).field("arguments", call_.arguments);
      });
      write_call(item_json, item_id_, status, call_);
    }
    bytes += event("response.output_item.done", [&](JsonWriter& json) {
      json.field("output_index", num_items_).key("item").raw(item);
    });
    add_item(item);
    open_ = Item::kNone;
    return bytes;
  }

  void add_item(const std::string& item) {
    if (num_items_++ > 0) output_ += ',';
    output_ += item;
  }

  /// The items of a whole reply.
  void take_choice(const ReplyChoice& choice) {
    end_ = choice.end;
    if (!choice.text.empty()) {
      item_id_ = "msg_" + item_ids_();
      text_ = choice.text;
      JsonWriter logprobs(logprobs_);
      append_token_details(logprobs, choice.logprobs);
      std::string item;
      JsonWriter json(item);
      write_message(json, item_status(end_));
      add_item(item);
    }
    for (const ReplyChoice::ToolCall& call : choice.tool_calls) {
      std::string item;
      JsonWriter json(item);
      write_call(json, "fc_" + item_ids_(), item_status(end_), call);
      add_item(item);
    }
  }

  void keep_logprobs() {
    if (!logprobs_.empty() && !fresh_logprobs_.empty()) logprobs_ += ',';
    logprobs_ += std::exchange(fresh_logprobs_, {});
  }

  ReplyIdentity identity_;
  std::string service_tier_;
  std::string echo_;
  IdSource item_ids_;
  std::int64_t sequence_number_ = 0;
  std::string output_;  ///< the items that are done, as JSON
  std::int64_t num_items_ = 0;

  Item open_ = Item::kNone;
  std::string item_id_;         ///< of the open item
  std::string text_;            ///< of an open message
  std::string logprobs_;        ///< of `text_`, as JSON
  std::string fresh_logprobs_;  ///< of tokens whose text is still held back
  ReplyChoice::ToolCall call_;  ///< of an open call

  ReplyEnd end_ = ReplyEnd::kStop;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_responses_writer(const GenerationRequest& request,
                                                   ReplyIdentity identity) {
  return std::make_unique<ResponsesWriter>(request, std::move(identity));
}

}  // namespace cardloom::api
