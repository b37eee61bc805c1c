#pragma once

#include <chrono>
#include <memory>
#include <variant>
#include <vector>

#include "cardloom/api/api.h"
#include "cardloom/api/small_requests.h"
#include "cardloom/server/served_model.h"

namespace cardloom::server {

/// A request with everything it needs to be run.
struct PreparedRequest {
  api::GenerationRequest request;
  std::vector<Prompt> prompts;    ///< one for a chat; one each for a completion's prompts
  std::vector<std::string> echo;  ///< of a completion that wants its prompts back
  std::int64_t image_rows = 0;    ///< of all prompts
  std::int64_t num_images = 0;
  std::shared_ptr<const Grammar> grammar{};  ///< of the answer, if its form is asked for
  std::shared_ptr<void> picture_room{};      ///< in the server's budget, until the request ends
  std::chrono::nanoseconds fetch{};
  std::chrono::nanoseconds decode{};
  std::chrono::nanoseconds preprocess{};
};

/// Gets the pictures, writes the prompt in the model's tokens, compiles the grammar. Slow: for the
/// task pool. ApiErrors name the field; `context_length_exceeded` gives the limit, the prompt's
/// tokens, of which image tokens, and the tokens asked for. Throws what no request is to blame for,
/// such as memory that ran out; so do the next two.
[[nodiscard]] std::variant<PreparedRequest, api::ApiError> prepare_request(
    const ServedModel& model, api::GenerationRequest request);

/// How many tokens a request's prompt has, without fetching its pictures. `add_special_tokens`: to
/// a prompt that is no chat, as a completion would.
struct TokenCount {
  std::vector<std::int32_t> ids;  ///< pictures as their three ids
  std::int64_t rows = 0;          ///< pictures with all of their rows
  std::int64_t image_rows = 0;
  std::vector<std::int64_t> images;  ///< where each picture's three ids begin
};
[[nodiscard]] std::variant<TokenCount, api::ApiError> count_tokens(const ServedModel& model,
                                                                   api::GenerationRequest request,
                                                                   bool add_special_tokens = true);

/// What the model would see of a chat's request; pictures are neither fetched nor looked at.
[[nodiscard]] std::variant<api::RenderReply, api::ApiError> render_prompt(
    const ServedModel& model, api::GenerationRequest request);

/// A token's bytes, a special one's spelling.
[[nodiscard]] std::string_view spelling_of(const Tokenizer& tokenizer, std::int32_t id);

}  // namespace cardloom::server
