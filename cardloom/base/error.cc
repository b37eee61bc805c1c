#include "cardloom/base/error.h"

#include <fmt/format.h>

namespace cardloom {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kUnimplemented:
      return "not supported";
    case ErrorCode::kResourceExhausted:
      return "does not fit";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kDeadlineExceeded:
      return "deadline exceeded";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kDataLoss:
      return "damaged data";
    case ErrorCode::kInternal:
      return "internal error";
  }
  return "internal error";
}

std::string Error::describe() const {
  std::string text = message;
  text += " (";
  if (!detail.empty()) text += detail + ", ";
  text += fmt::format("{}:{})", at.file, at.line);
  return text;
}

Error make_error(ErrorCode code, std::string message, std::string detail, std::string remedy,
                 Location at) {
  return {code, std::move(message), std::move(detail), std::move(remedy), at};
}

void throw_error(ErrorCode code, std::string message, std::string detail, std::string remedy,
                 Location at) {
  throw Exception(make_error(code, std::move(message), std::move(detail), std::move(remedy), at));
}

}  // namespace cardloom
