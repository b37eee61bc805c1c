#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/models/chat.h"
#include "cardloom/sampling/sampling_params.h"

namespace cardloom::api {

/// What the text must look like.
struct OutputFormat {
  enum class Kind { kText, kJsonObject, kJsonSchema, kRegex, kChoice };
  Kind kind = Kind::kText;
  json::value schema{};              ///< kJsonSchema
  std::string regex;                 ///< kRegex
  std::vector<std::string> choices;  ///< kChoice
  std::string param;                 ///< where it stood in the request, for errors
};

struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kNamed };
  Kind kind = Kind::kAuto;
  std::string name;  ///< kNamed
};

/// A picture of the messages, in their order; its URL is in ChatMessage::images.
struct PictureNote {
  std::string param;  ///< "messages[0].content[1].image_url.url"
  std::string detail = "auto";
};

/// A request to generate in no API's shape: every API's parser makes one of these, and from here on
/// nobody asks which API it was.
struct GenerationRequest {
  std::string model;  ///< "": the one that is served

  std::vector<ChatMessage> messages;  ///< of a chat; images are URLs (data:, http:, file:)
  std::vector<PictureNote> pictures;
  /// Of a completion: texts, or token ids. Empty for a chat.
  std::vector<std::variant<std::string, std::vector<std::int32_t>>> prompts;
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  bool echo = false;  ///< completions: the prompt before the text

  json::array tools{};  ///< OpenAI's list, already checked; offered to the model by tool_choice
  ToolChoice tool_choice{};
  bool parallel_tool_calls = true;

  OutputFormat format{};
  SamplingParams sampling{};
  bool has_seed = false;        ///< else the server draws one
  std::int64_t max_tokens = 0;  ///< 0: until the context is full
  std::int64_t min_tokens = 0;
  std::vector<std::string> stop{};
  std::vector<std::int32_t> stop_token_ids{};
  bool include_stop = false;  ///< in the output
  bool ignore_eos = false;
  bool skip_special_tokens = true;
  std::int64_t n = 1;

  bool stream = false;
  bool include_usage = false;     ///< a last chunk with usage
  bool continuous_usage = false;  ///< usage in every chunk
  bool return_progress = false;   ///< of the prompt, while streaming
  bool return_token_ids = false;

  int priority = 1;            ///< 0 high, 1 normal, 2 low
  std::string service_tier{};  ///< as the reply tells it: default, flex, priority; "": not asked
  std::string cache_salt{};
  std::vector<std::string> ignored_fields{};  ///< for the header x-ignored-fields
  json::object echoed_fields{};               ///< what /v1/responses repeats in its reply
};

/// What a request may ask for at the most; all are options of `serve` and shown by /props.
struct RequestLimits {
  std::int64_t max_messages = 2048;
  std::int64_t max_images = 8;
  std::int64_t max_image_bytes = 20 << 20;
  std::int64_t max_tools = 128;
  std::int64_t max_schema_bytes = 64 << 10;
  std::int64_t max_stop = 16;
  std::int64_t max_stop_bytes = 128;
  std::int64_t max_n = 8;
  std::int64_t max_prompts = 32;  ///< of one completion request
  std::int64_t max_tokens = 0;    ///< 0: the context
  std::int64_t vocab_size = 0;
  std::int64_t picture_pixels = 0;  ///< of the square that every picture becomes
  bool strict = false;              ///< an unknown field is an error
};

}  // namespace cardloom::api
