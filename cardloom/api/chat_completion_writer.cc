#include <utility>

#include "cardloom/api/api.h"
#include "cardloom/api/openai_reply.h"

namespace cardloom::api {
namespace {

/// "logprobs": {"content": [...], "refusal": null}, or null if there are none.
void append_logprobs(JsonWriter& json, const std::vector<TokenDetail>& logprobs) {
  if (logprobs.empty()) {
    json.null_field("logprobs");
    return;
  }
  json.key("logprobs").begin_object().key("content").begin_list();
  append_token_details(json, logprobs);
  json.end_list().null_field("refusal").end_object();
}

void append_call_delta(JsonWriter& json, const ToolCallDelta& call) {
  json.begin_object().field("index", call.index);
  if (!call.id.empty()) json.field("id", call.id).field("type", "function");
  json.key("function").begin_object();
  if (!call.name.empty()) json.field("name", call.name);
  json.field("arguments", call.arguments).end_object().end_object();
}

void append_message(JsonWriter& json, const ReplyChoice& choice) {
  json.key("message").begin_object().field("role", "assistant");
  if (choice.text.empty() && !choice.tool_calls.empty()) {
    json.null_field("content");
  } else {
    json.field("content", choice.text);
  }
  json.null_field("refusal");
  if (!choice.tool_calls.empty()) {
    json.key("tool_calls").begin_list();
    for (const ReplyChoice::ToolCall& call : choice.tool_calls) {
      json.begin_object().field("id", call.id).field("type", "function");
      json.key("function").begin_object();
      json.field("name", call.name).field("arguments", call.arguments);
      json.end_object().end_object();
    }
    json.end_list();
  }
  json.end_object();
}

/// Source: the types ChatCompletion and ChatCompletionChunk of npm openai 6.49.
class ChatCompletionWriter final : public ReplyWriter {
 public:
  ChatCompletionWriter(const GenerationRequest& request, ReplyIdentity identity)
      : frame_(request, identity, "chatcmpl-", "chat.completion.chunk", "chat.completion"),
        num_choices_(request.n),
        return_token_ids_(request.return_token_ids),
        prompt_ids_(identity.prompt_ids.empty() ? std::vector<std::int32_t>()
                                                : std::move(identity.prompt_ids.front())) {}

  std::string begin() override {
    std::string out;
    for (std::int64_t i = 0; i < num_choices_; ++i) {
      frame_.begin_chunk(out);
      JsonWriter json(out);
      begin_delta(json, i).field("role", "assistant").field("content", "");
      end_choice_object(json.end_object().null_field("logprobs"), {});
      frame_.end_chunk(out, last_usage_, std::exchange(prompt_ids_, {}));
    }
    return out;
  }

  std::string progress(const PromptProgress& progress) override {
    return frame_.progress(progress);
  }

  std::string delta(const ReplyDelta& delta, const Usage& so_far) override {
    last_usage_ = so_far;
    const bool has_ids = return_token_ids_ && !delta.token_ids.empty();
    const bool has_calls = !delta.tool_calls.empty();
    if (delta.text.empty() && !has_calls && delta.logprobs.empty() && !has_ids) return {};
    std::string out;
    out.reserve(512);
    frame_.begin_chunk(out);
    JsonWriter json(out);
    begin_delta(json, delta.choice);
    if (!delta.text.empty() || !has_calls) json.field("content", delta.text);
    if (has_calls) {
      json.key("tool_calls").begin_list();
      for (const ToolCallDelta& call : delta.tool_calls) append_call_delta(json, call);
      json.end_list();
    }
    json.end_object();
    append_logprobs(json, delta.logprobs);
    if (has_ids) append_token_ids(json.key("token_ids"), delta.token_ids);
    end_choice_object(json, {});
    frame_.end_chunk(out, last_usage_);
    return out;
  }

  std::string end_choice(std::int64_t choice, ReplyEnd end, const std::string&) override {
    std::string out;
    frame_.begin_chunk(out);
    JsonWriter json(out);
    begin_delta(json, choice).end_object().null_field("logprobs");
    end_choice_object(json, finish_reason(end));
    frame_.end_chunk(out, last_usage_);
    return out;
  }

  std::string end(const Usage& usage, const ReplyTimings& timings) override {
    return frame_.end(usage, timings);
  }
  std::string ping() override { return OpenAiFrame::ping(); }
  std::string fail(const ApiError& error) override { return OpenAiFrame::fail(error); }

  std::string body(const std::vector<ReplyChoice>& choices, const Usage& usage,
                   const ReplyTimings& timings) override {
    std::string out = frame_.begin_body();
    JsonWriter json(out);
    for (std::size_t i = 0; i < choices.size(); ++i) {
      json.begin_object().field("index", static_cast<std::int64_t>(i));
      append_message(json, choices[i]);
      append_logprobs(json, choices[i].logprobs);
      if (return_token_ids_) append_token_ids(json.key("token_ids"), choices[i].token_ids);
      end_choice_object(json, finish_reason(choices[i].end));
    }
    OpenAiFrame::end_body(out, usage, timings, prompt_ids_);
    return out;
  }

 private:
  static JsonWriter& begin_delta(JsonWriter& json, std::int64_t choice) {
    return json.begin_object().field("index", choice).key("delta").begin_object();
  }
  static void end_choice_object(JsonWriter& json, std::string_view reason) {
    json.text_or_null("finish_reason", reason).end_object();
  }

  OpenAiFrame frame_;
  std::int64_t num_choices_;
  bool return_token_ids_;
  std::vector<std::int32_t> prompt_ids_;  ///< not told yet
  std::optional<Usage> last_usage_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_chat_completion_writer(const GenerationRequest& request,
                                                         ReplyIdentity identity) {
  return std::make_unique<ChatCompletionWriter>(request, std::move(identity));
}

}  // namespace cardloom::api
