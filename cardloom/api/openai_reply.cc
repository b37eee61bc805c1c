#include "cardloom/api/openai_reply.h"

#include "cardloom/base/utf8.h"

namespace cardloom::api {
namespace {

/// {"token", "logprob", "bytes"}, left open.
void begin_token(JsonWriter& json, const TokenText& token) {
  json.begin_object();
  json.field("token", replace_invalid_utf8(token.bytes)).field("logprob", token.logprob);
  json.key("bytes").begin_list();
  for (const char byte : token.bytes) json.integer(static_cast<unsigned char>(byte));
  json.end_list();
}

std::string head_of(const GenerationRequest& request, const ReplyIdentity& identity,
                    std::string_view prefix, std::string_view object) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("id", std::string(prefix) + identity.id_suffix).field("object", object);
  json.field("created", identity.created).field("model", identity.model);
  json.text_or_null("system_fingerprint", identity.fingerprint);
  if (!request.service_tier.empty()) json.field("service_tier", request.service_tier);
  json.key("choices").begin_list();
  return out;
}

}  // namespace

std::string_view finish_reason(ReplyEnd end) {
  switch (end) {
    case ReplyEnd::kStop:
      return "stop";
    case ReplyEnd::kLength:
      return "length";
    case ReplyEnd::kToolCalls:
      return "tool_calls";
  }
  return "stop";
}

void append_usage(JsonWriter& json, const Usage& usage) {
  json.begin_object();
  json.field("prompt_tokens", usage.prompt_tokens);
  json.field("completion_tokens", usage.completion_tokens);
  json.field("total_tokens", usage.prompt_tokens + usage.completion_tokens);
  json.key("prompt_tokens_details").begin_object();
  json.field("cached_tokens", usage.cached_tokens).field("image_tokens", usage.image_tokens);
  json.end_object();
  json.key("completion_tokens_details").begin_object();
  json.field("reasoning_tokens", std::int64_t{0}).end_object();
  json.end_object();
}

void append_timings(JsonWriter& json, const ReplyTimings& timings) {
  json.begin_object();
  json.field("queue_ms", timings.queue_ms).field("image_fetch_ms", timings.image_fetch_ms);
  json.field("image_decode_ms", timings.image_decode_ms);
  json.field("image_preprocess_ms", timings.image_preprocess_ms);
  json.field("image_encode_ms", timings.image_encode_ms).field("prefill_ms", timings.prefill_ms);
  json.field("first_token_ms", timings.first_token_ms).field("decode_ms", timings.decode_ms);
  json.field("tokens_per_second", timings.tokens_per_second);
  json.end_object();
}

void append_token_details(JsonWriter& json, const std::vector<TokenDetail>& details) {
  for (const TokenDetail& detail : details) {
    begin_token(json, detail.chosen);
    json.key("top_logprobs").begin_list();
    for (const TokenText& token : detail.top) {
      begin_token(json, token);
      json.end_object();
    }
    json.end_list().end_object();
  }
}

void append_token_ids(JsonWriter& json, const std::vector<std::int32_t>& ids) {
  json.begin_list();
  for (const std::int32_t id : ids) json.integer(id);
  json.end_list();
}

void append_prompt_ids(JsonWriter& json, const std::vector<std::int32_t>& ids) {
  if (!ids.empty()) append_token_ids(json.key("prompt_token_ids"), ids);
}

OpenAiFrame::OpenAiFrame(const GenerationRequest& request, const ReplyIdentity& identity,
                         std::string_view prefix, std::string_view chunk_object,
                         std::string_view body_object)
    : chunk_head_("data: " + head_of(request, identity, prefix, chunk_object)),
      body_head_(head_of(request, identity, prefix, body_object)),
      include_usage_(request.include_usage),
      continuous_usage_(request.continuous_usage),
      return_progress_(request.return_progress) {}

void OpenAiFrame::end_chunk(std::string& out, const std::optional<Usage>& so_far,
                            const std::vector<std::int32_t>& prompt_ids) const {
  JsonWriter json(out);
  json.end_list();
  append_prompt_ids(json, prompt_ids);
  if (continuous_usage_ && so_far) {
    append_usage(json.key("usage"), *so_far);
  } else if (include_usage_) {
    json.null_field("usage");
  }
  json.end_object();
  out += "\n\n";
}

std::string OpenAiFrame::progress(const PromptProgress& progress) const {
  if (!return_progress_) return {};
  std::string out = chunk_head_;
  JsonWriter json(out);
  json.end_list();
  if (include_usage_) json.null_field("usage");
  json.key("prompt_progress").begin_object();
  json.field("images_done", progress.images_done).field("images", progress.images);
  json.field("tokens_done", progress.tokens_done).field("tokens", progress.tokens);
  json.end_object().end_object();
  out += "\n\n";
  return out;
}

std::string OpenAiFrame::end(const Usage& usage, const ReplyTimings& timings) const {
  std::string out;
  if (include_usage_) {
    out = chunk_head_;
    end_body(out, usage, timings);
    out += "\n\n";
  }
  out += "data: [DONE]\n\n";
  return out;
}

std::string OpenAiFrame::fail(const ApiError& error) {
  return "data: " + error_body(error, ErrorShape::kOpenAi, {}) + "\n\n";
}

void OpenAiFrame::end_body(std::string& out, const Usage& usage, const ReplyTimings& timings,
                           const std::vector<std::int32_t>& prompt_ids) {
  JsonWriter json(out);
  json.end_list();
  append_prompt_ids(json, prompt_ids);
  append_usage(json.key("usage"), usage);
  append_timings(json.key("timings"), timings);
  json.end_object();
}

}  // namespace cardloom::api
