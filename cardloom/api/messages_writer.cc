#include <boost/json/parse.hpp>
#include <utility>

#include "cardloom/api/api.h"
#include "cardloom/api/json_writer.h"
#include "cardloom/api/openai_reply.h"

namespace cardloom::api {
namespace {

std::string event(std::string_view type) {
  return typed_event(type, [](JsonWriter&) {});
}

std::string tool_use_id(std::string_view id) {
  constexpr std::string_view kOpenAi = "call_";
  if (id.substr(0, kOpenAi.size()) == kOpenAi) id.remove_prefix(kOpenAi.size());
  return "toolu_" + std::string(id);
}

/// What the model wrote as arguments: an object by Anthropic's types. Text that is none, that of a
/// reply which was cut for instance, must not be lost.
void write_input(JsonWriter& json, const std::string& arguments) {
  boost::system::error_code failure;
  const json::value value = boost::json::parse(arguments, failure);
  if (!failure && value.is_object()) {
    json.raw(arguments);
  } else {
    json.begin_object().field("unparsed_arguments", arguments).end_object();
  }
}

/// Anthropic counts apart what came from the cache.
void write_usage(JsonWriter& json, const Usage& usage) {
  json.key("usage").begin_object();
  json.field("input_tokens", usage.prompt_tokens - usage.cached_tokens);
  json.field("cache_creation_input_tokens", std::int64_t{0});
  json.field("cache_read_input_tokens", usage.cached_tokens);
  json.field("output_tokens", usage.completion_tokens).end_object();
}

std::string_view stop_reason(ReplyEnd end, const std::string& stop_sequence) {
  if (end == ReplyEnd::kToolCalls) return "tool_use";
  if (end == ReplyEnd::kLength) return "max_tokens";
  return stop_sequence.empty() ? "end_turn" : "stop_sequence";
}

/// A row of content blocks, one open at a time.
///
/// message_start tells the prompt's tokens, so it waits for the first delta; a ping goes first.
class MessagesWriter final : public ReplyWriter {
 public:
  explicit MessagesWriter(ReplyIdentity identity) : identity_(std::move(identity)) {}

  std::string begin() override { return ping(); }

  std::string progress(const PromptProgress& /*progress*/) override { return ping(); }

  std::string delta(const ReplyDelta& delta, const Usage& so_far) override {
    std::string bytes = start(so_far);
    // The rest of the open call first: its block cannot be opened again behind text.
    auto call = delta.tool_calls.begin();
    for (; call != delta.tool_calls.end() && call->id.empty(); ++call) bytes += write_call(*call);
    if (!delta.text.empty()) {
      if (open_ != Block::kText) {
        bytes += open_block(Block::kText,
                            [](JsonWriter& json) { json.field("type", "text").field("text", ""); });
      }
      bytes += block_delta("text_delta", "text", delta.text);
    }
    for (; call != delta.tool_calls.end(); ++call) bytes += write_call(*call);
    return bytes;
  }

  std::string end_choice(std::int64_t /*choice*/, ReplyEnd end,
                         const std::string& stop_sequence) override {
    end_ = end;
    stop_sequence_ = stop_sequence;
    return close_block();
  }

  std::string end(const Usage& usage, const ReplyTimings& timings) override {
    std::string bytes = start(usage);
    bytes += typed_event("message_delta", [&](JsonWriter& json) {
      json.key("delta").begin_object();
      write_stop(json, end_, stop_sequence_);
      json.end_object();
      write_usage(json, usage);
      append_timings(json.key("timings"), timings);
    });
    return bytes + event("message_stop");
  }

  std::string ping() override { return event("ping"); }

  std::string fail(const ApiError& error) override {
    return "event: error\ndata: " + error_body(error, ErrorShape::kAnthropic, {}) + "\n\n";
  }

  std::string body(const std::vector<ReplyChoice>& choices, const Usage& usage,
                   const ReplyTimings& timings) override {
    std::string bytes;
    JsonWriter json(bytes);
    write_message(json, choices.empty() ? nullptr : &choices.front(), usage);
    append_timings(json.key("timings"), timings);
    json.end_object();
    return bytes;
  }

 private:
  enum class Block { kNone, kText, kToolUse };

  static void write_stop(JsonWriter& json, ReplyEnd end, const std::string& stop_sequence) {
    json.field("stop_reason", stop_reason(end, stop_sequence));
    json.text_or_null("stop_sequence", stop_sequence);
  }

  static void write_content(JsonWriter& json, const ReplyChoice& choice) {
    if (!choice.text.empty()) {
      json.begin_object().field("type", "text").field("text", choice.text).end_object();
    }
    for (const ReplyChoice::ToolCall& call : choice.tool_calls) {
      json.begin_object().field("type", "tool_use").field("id", tool_use_id(call.id));
      json.field("name", call.name).key("input");
      write_input(json, call.arguments);
      json.end_object();
    }
  }

  /// `choice` null: one that has only begun. The object stays open.
  void write_message(JsonWriter& json, const ReplyChoice* choice, const Usage& usage) const {
    json.begin_object().field("id", "msg_" + identity_.id_suffix).field("type", "message");
    json.field("role", "assistant").field("model", identity_.model).key("content").begin_list();
    if (choice != nullptr) write_content(json, *choice);
    json.end_list();
    if (choice != nullptr) {
      write_stop(json, choice->end, choice->stop_sequence);
    } else {
      json.null_field("stop_reason").null_field("stop_sequence");
    }
    write_usage(json, usage);
  }

  std::string start(const Usage& usage) {
    if (std::exchange(started_, true)) return {};
    return typed_event("message_start", [&](JsonWriter& json) {
      json.key("message");
      write_message(json, nullptr, usage);
      json.end_object();
    });
  }

  std::string write_call(const ToolCallDelta& call) {
    std::string bytes;
    if (!call.id.empty()) {
      bytes += open_block(Block::kToolUse, [&](JsonWriter& json) {
        json.field("type", "tool_use").field("id", tool_use_id(call.id));
        json.field("name", call.name).key("input").begin_object().end_object();
      });
    }
    if (!call.arguments.empty()) {
      bytes += block_delta("input_json_delta", "partial_json", call.arguments);
    }
    return bytes;
  }

  template <class Write>
  std::string open_block(Block kind, Write write) {
    std::string bytes = close_block();
    open_ = kind;
    return bytes + typed_event("content_block_start", [&](JsonWriter& json) {
             json.field("index", index_).key("content_block").begin_object();
             write(json);
             json.end_object();
           });
  }

  [[nodiscard]] std::string block_delta(const char* type, const char* name,
                                        const std::string& text) const {
    return typed_event("content_block_delta", [&](JsonWriter& json) {
      json.field("index", index_).key("delta").begin_object();
      json.field("type", type).field(name, text).end_object();
    });
  }

  std::string close_block() {
    if (std::exchange(open_, Block::kNone) == Block::kNone) return {};
    return typed_event("content_block_stop",
                       [&](JsonWriter& json) { json.field("index", index_++); });
  }

  ReplyIdentity identity_;
  bool started_ = false;
  Block open_ = Block::kNone;
  std::int64_t index_ = 0;  ///< of the open block, else of the next
  ReplyEnd end_ = ReplyEnd::kStop;
  std::string stop_sequence_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_messages_writer(const GenerationRequest& /*request*/,
                                                  ReplyIdentity identity) {
  return std::make_unique<MessagesWriter>(std::move(identity));
}

}  // namespace cardloom::api
