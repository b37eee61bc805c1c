#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "cardloom/base/location.h"

namespace cardloom {

/// What kind of failure it is; the exit code of a command and (later) the HTTP status follow from
/// it.
enum class ErrorCode {
  kInvalidArgument,    ///< the caller's input breaks a rule
  kNotFound,           ///< a file, tensor or name is not there
  kUnimplemented,      ///< understood, but not supported
  kResourceExhausted,  ///< does not fit: memory, context, limit
  kCancelled,          ///< the caller gave up
  kDeadlineExceeded,   ///< a wait ran out
  kUnavailable,        ///< a rank or device is gone
  kDataLoss,           ///< a file is damaged
  kInternal,           ///< our own bug
};

/// `kInvalidArgument` is "invalid argument", and so on.
[[nodiscard]] std::string_view to_string(ErrorCode code);

/// One failure, told so that a stranger can act on it: what, why, where, what to do.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  ///< what rule was broken, with both values
  std::string detail;   ///< why, with numbers: operands, launch, rank, layer; may be empty
  std::string remedy;   ///< what to do or type; may be empty
  Location at;          ///< the line that asked (an operator's caller, a reader's parse step)

  /// "message (detail; file:line)" on one line, for logs and tests.
  [[nodiscard]] std::string describe() const;
};

[[nodiscard]] Error make_error(ErrorCode code, std::string message, std::string detail = {},
                               std::string remedy = {}, Location at = Location::current());

/// How an Error travels inside a step; caught in the step loop and at a command's edge only.
class Exception : public std::exception {
 public:
  explicit Exception(Error error) : error_(std::move(error)), what_(error_.describe()) {}
  [[nodiscard]] const Error& error() const { return error_; }
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }

 private:
  Error error_;
  std::string what_;
};

/// Throws Exception(make_error(...)).
[[noreturn]] void throw_error(ErrorCode code, std::string message, std::string detail = {},
                              std::string remedy = {}, Location at = Location::current());

}  // namespace cardloom
