#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cardloom/base/error.h"

namespace cardloom::api {

/// An answer that says no, in no API's shape yet.
struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string code;     ///< "context_length_exceeded"; "": null
  std::string param;    ///< "messages[0].content[1].image_url.url"; "": null
  std::string message;  ///< what rule was broken with both values, and what to do
  std::vector<std::pair<std::string, std::string>> headers;  ///< "retry-after" and the like
  std::string cause{};  ///< what the log is told of our own failure, and no client; "": nothing
};

/// 400 invalid_request_error for a rule that `param` breaks.
[[nodiscard]] ApiError invalid(std::string param, std::string message, std::string code = {});

/// The status, type and code for one of our errors: kInvalidArgument 400, kNotFound 404,
/// kUnimplemented 501, kResourceExhausted 429 queue_full, kDeadlineExceeded 504, kUnavailable 503,
/// else 500 internal_error. The text of the last two tells neither path nor pointer nor source
/// line; `cause` does.
[[nodiscard]] ApiError api_error_of(const Error& error);

enum class ErrorShape { kOpenAi, kAnthropic };
/// {"error": {"message", "type", "param", "code"}}, or {"type": "error", "error": {...},
/// "request_id"}.
[[nodiscard]] std::string error_body(const ApiError& error, ErrorShape shape,
                                     const std::string& request_id);

}  // namespace cardloom::api
