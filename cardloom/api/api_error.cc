#include "cardloom/api/api_error.h"

#include <fmt/format.h>

#include "cardloom/api/json_writer.h"
#include "cardloom/base/utf8.h"

namespace cardloom::api {
namespace {

/// Anthropic's type of a status; its SDKs make their exceptions of it.
std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

/// Message, numbers and remedy in one text; never the source line.
std::string text_of(const Error& error) {
  std::string text = error.message;
  if (!error.detail.empty()) text += fmt::format(" ({})", error.detail);
  if (!error.remedy.empty()) text += fmt::format("; {}", error.remedy);
  return text;
}

ApiError server_error(int status, std::string code, std::string message) {
  ApiError answer;
  answer.status = status;
  answer.type = "server_error";
  answer.code = std::move(code);
  answer.message = std::move(message);
  return answer;
}

}  // namespace

ApiError invalid(std::string param, std::string message, std::string code) {
  ApiError answer;
  answer.code = std::move(code);
  answer.param = std::move(param);
  answer.message = std::move(message);
  return answer;
}

ApiError api_error_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
      return invalid({}, text_of(error));
    case ErrorCode::kNotFound: {
      ApiError answer = invalid({}, text_of(error), "not_found");
      answer.status = 404;
      return answer;
    }
    case ErrorCode::kUnimplemented:
      return server_error(501, "not_supported", text_of(error));
    case ErrorCode::kResourceExhausted: {
      ApiError answer = invalid({}, text_of(error), "queue_full");
      answer.status = 429;
      answer.type = "rate_limit_error";
      answer.headers = {{"retry-after", "1"}, {"retry-after-ms", "1000"}};
      return answer;
    }
    case ErrorCode::kDeadlineExceeded:
      return server_error(504, "deadline_exceeded", text_of(error));
    case ErrorCode::kUnavailable: {
      // Its numbers may be those of a rank's failure, with operands and source line.
      const bool has_remedy = !error.remedy.empty();
      ApiError answer =
          server_error(503, "unavailable", error.message + (has_remedy ? "; " : "") + error.remedy);
      answer.headers = {{"retry-after", "5"}};
      answer.cause = error.describe();
      return answer;
    }
    case ErrorCode::kCancelled:
    case ErrorCode::kDataLoss:
    case ErrorCode::kInternal:
      break;
  }
  // Whatever such a text says of memory or files helps an attacker; the log has it.
  ApiError answer =
      server_error(500, "internal_error",
                   "the server failed at this request; its log says why, by the request's id");
  answer.cause = error.describe();
  return answer;
}

std::string error_body(const ApiError& error, ErrorShape shape, const std::string& request_id) {
  const std::string message = replace_invalid_utf8(error.message);
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  if (shape == ErrorShape::kOpenAi) {
    json.key("error").begin_object();
    json.field("message", message).field("type", error.type);
    json.text_or_null("param", replace_invalid_utf8(error.param)).text_or_null("code", error.code);
    json.end_object().end_object();
    return out;
  }
  json.field("type", "error").key("error").begin_object();
  json.field("type", anthropic_type(error.status)).field("message", message).end_object();
  json.text_or_null("request_id", replace_invalid_utf8(request_id)).end_object();
  return out;
}

}  // namespace cardloom::api
