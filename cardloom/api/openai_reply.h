#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cardloom/api/generation_request.h"
#include "cardloom/api/json_writer.h"
#include "cardloom/api/reply_writer.h"

namespace cardloom::api {

/// stop, length or tool_calls.
[[nodiscard]] std::string_view finish_reason(ReplyEnd end);
/// Appends the object {"prompt_tokens", "completion_tokens", "total_tokens", "..._details"}.
void append_usage(JsonWriter& json, const Usage& usage);
/// Appends the object of ReplyTimings, each in ms by its own name.
void append_timings(JsonWriter& json, const ReplyTimings& timings);
/// Appends an element for each token, as chat completions and responses have them; the list must be
/// open. A part of a character has its exact bytes in "bytes" only.
void append_token_details(JsonWriter& json, const std::vector<TokenDetail>& details);
/// Appends a list of numbers.
void append_token_ids(JsonWriter& json, const std::vector<std::int32_t>& ids);
/// Appends "prompt_token_ids", vLLM's name, if there are any.
void append_prompt_ids(JsonWriter& json, const std::vector<std::int32_t>& ids);

/// The frame that chunks and bodies of both OpenAI endpoints share: what every reply says of
/// itself, usage, progress, the end of the stream.
class OpenAiFrame {
 public:
  /// `prefix`: "chatcmpl-"; `chunk_object` and `body_object` as in OpenAI's types.
  OpenAiFrame(const GenerationRequest& request, const ReplyIdentity& identity,
              std::string_view prefix, std::string_view chunk_object, std::string_view body_object);

  /// Appends `data: {..., "choices": [`; then come the choices, then end_chunk.
  void begin_chunk(std::string& out) const { out += chunk_head_; }
  /// Usage: that of `so_far` if it was asked for in every chunk, null if in the last.
  /// `prompt_ids`: told in it, if there are any.
  void end_chunk(std::string& out, const std::optional<Usage>& so_far,
                 const std::vector<std::int32_t>& prompt_ids = {}) const;

  [[nodiscard]] std::string progress(const PromptProgress& progress) const;
  /// The chunk with usage and timings if it was asked for, and [DONE].
  [[nodiscard]] std::string end(const Usage& usage, const ReplyTimings& timings) const;
  [[nodiscard]] static std::string ping() { return ": ping\n\n"; }
  /// No [DONE] behind it: SDKs must not take the answer for a whole one.
  [[nodiscard]] static std::string fail(const ApiError& error);

  /// Likewise for a whole reply.
  [[nodiscard]] std::string begin_body() const { return body_head_; }
  static void end_body(std::string& out, const Usage& usage, const ReplyTimings& timings,
                       const std::vector<std::int32_t>& prompt_ids = {});

 private:
  std::string chunk_head_;
  std::string body_head_;
  bool include_usage_;
  bool continuous_usage_;
  bool return_progress_;
};

}  // namespace cardloom::api
