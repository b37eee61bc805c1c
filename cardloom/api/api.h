#pragma once

#include <memory>
#include <string_view>
#include <variant>

#include "cardloom/api/api_error.h"
#include "cardloom/api/generation_request.h"
#include "cardloom/api/reply_writer.h"

/// One parser and one writer for each API. Parsers refuse what they cannot honour, naming the
/// field.
namespace cardloom::api {

using ParsedRequest = std::variant<GenerationRequest, ApiError>;

/// POST /v1/chat/completions, /v1/completions (OpenAI), /v1/responses (OpenAI, stateless),
/// /v1/messages (Anthropic). `body`: the JSON text.
[[nodiscard]] ParsedRequest parse_chat_completion(std::string_view body,
                                                  const RequestLimits& limits);
[[nodiscard]] ParsedRequest parse_completion(std::string_view body, const RequestLimits& limits);
[[nodiscard]] ParsedRequest parse_responses(std::string_view body, const RequestLimits& limits);
/// `counting`: /v1/messages/count_tokens, where max_tokens may be missing.
[[nodiscard]] ParsedRequest parse_messages(std::string_view body, const RequestLimits& limits,
                                           bool counting = false);

[[nodiscard]] std::unique_ptr<ReplyWriter> make_chat_completion_writer(
    const GenerationRequest& request, ReplyIdentity identity);
[[nodiscard]] std::unique_ptr<ReplyWriter> make_completion_writer(const GenerationRequest& request,
                                                                  ReplyIdentity identity);
[[nodiscard]] std::unique_ptr<ReplyWriter> make_responses_writer(const GenerationRequest& request,
                                                                 ReplyIdentity identity);
[[nodiscard]] std::unique_ptr<ReplyWriter> make_messages_writer(const GenerationRequest& request,
                                                                ReplyIdentity identity);

}  // namespace cardloom::api
