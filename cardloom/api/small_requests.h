#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cardloom/api/api_error.h"
#include "cardloom/api/generation_request.h"

/// The endpoints that generate nothing: /tokenize, /detokenize, /apply-template, /v1/models.
namespace cardloom::api {

/// POST /tokenize: the ids of a text or of a whole chat, its pictures counted.
struct TokenizeRequest {
  GenerationRequest request{};     ///< one prompt, or messages and tools
  bool add_special_tokens = true;  ///< of a prompt; a chat always has its own
  bool return_token_strings = false;
};
/// {"prompt": text} or {"messages": [...], "tools": [...]}, with add_special_tokens,
/// return_token_strs, add_generation_prompt and continue_final_message: vLLM's names.
[[nodiscard]] std::variant<TokenizeRequest, ApiError> parse_tokenize(std::string_view body,
                                                                     const RequestLimits& limits);

/// What /tokenize answers.
struct TokenizeReply {
  std::vector<std::int32_t> tokens;        ///< a picture is its placeholder
  std::vector<std::string> token_strings;  ///< bytes; empty if not asked for
  std::int64_t count = 0;                  ///< rows: a picture counts with all of its
  std::int64_t image_tokens = 0;           ///< of these
  std::int64_t context_tokens = 0;         ///< the model's limit
};
[[nodiscard]] std::string tokenize_body(const TokenizeReply& reply, bool with_strings);

/// What POST /v1/chat/completions/render, and /apply-template, answer to a chat's request: what the
/// model would see.
struct RenderReply {
  std::string prompt;                ///< special tokens by their spellings
  std::vector<std::int32_t> tokens;  ///< a picture is three: its begin, a place, its end
  struct Image {
    std::int64_t token_index = 0;  ///< of its first token, in `tokens`
    std::int64_t offset = 0;       ///< of its first row, where pictures count with all of theirs
    std::int64_t length = 0;       ///< its rows
  };
  std::vector<Image> images;
  std::int64_t count = 0;           ///< rows of the prompt
  std::int64_t image_tokens = 0;    ///< of these
  std::int64_t context_tokens = 0;  ///< the model's limit
};
[[nodiscard]] std::string render_body(const RenderReply& reply);

/// POST /detokenize {"tokens": [...]}.
struct DetokenizeRequest {
  std::string model;
  std::vector<std::int32_t> tokens;
  std::vector<std::string> ignored_fields;
};
[[nodiscard]] std::variant<DetokenizeRequest, ApiError> parse_detokenize(
    std::string_view body, const RequestLimits& limits);
/// {"prompt": text}; bytes that are no text become U+FFFD.
[[nodiscard]] std::string detokenize_body(std::string_view text);

/// What /v1/models tells of a model.
struct ServedModel {
  std::string id;
  std::int64_t created = 0;         ///< seconds since 1970
  std::int64_t context_tokens = 0;  ///< prompt and answer together
  std::int64_t image_tokens = 0;    ///< rows of one picture; 0: takes none
  std::vector<std::string> input_modalities{"text"};
};
/// GET /v1/models/{id}.
[[nodiscard]] std::string model_body(const ServedModel& model);
/// GET /v1/models.
[[nodiscard]] std::string models_body(const std::vector<ServedModel>& models);

}  // namespace cardloom::api
