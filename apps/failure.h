#pragma once

#include <string>
#include <utility>

#include "cardloom/base/result.h"

namespace cardloom::app {

/// What the shell gets. Part of the interface: documented in --help and tested.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,       ///< it was tried and did not work
  kExitUsage = 2,        ///< what was typed, or an input it names (picture, chat, ids), is no good
  kExitBadModel = 3,     ///< the checkpoint is missing, damaged or not supported
  kExitNoMemory = 4,     ///< it does not fit in memory
  kExitDevice = 5,       ///< a card, its instruction path or its threads failed
  kExitListen = 6,       ///< the port is taken, or this user may not listen on it
  kExitCheckFailed = 8,  ///< `check` found a difference
  kExitInterrupted = 130,
};

/// An Error with the exit code that a command ends with.
class Failure : public Exception {
 public:
  Failure(ExitCode exit_code, Error error) : Exception(std::move(error)), exit_code_(exit_code) {}
  [[nodiscard]] ExitCode exit_code() const { return exit_code_; }

 private:
  ExitCode exit_code_;
};

/// The exit code of an error that nobody gave one: by its kind.
[[nodiscard]] ExitCode exit_code_of(const Error& error);

/// Throws Failure(kExitUsage, kInvalidArgument ...).
[[noreturn]] void fail_usage(std::string message, std::string detail, std::string remedy,
                             Location at = Location::current());

/// The value, or throws its error as a Failure with `exit_code`.
template <class T>
[[nodiscard]] T unwrap(Result<T> result, ExitCode exit_code) {
  if (!result) throw Failure(exit_code, std::move(result).error());
  return *std::move(result);
}
void unwrap(const Status& status, ExitCode exit_code);

/// Runs `body`; an Exception without exit code leaves as a Failure with `exit_code`, or
/// kExitNoMemory if it is a kResourceExhausted.
template <class Body>
auto with_exit_code(ExitCode exit_code, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Failure&) {
    throw;
  } catch (const Exception& failure) {
    const bool memory = failure.error().code == ErrorCode::kResourceExhausted;
    throw Failure(memory ? kExitNoMemory : exit_code, failure.error());
  }
}

/// How every failure is told, exactly three lines:
///
///     error: <what rule was broken>
///       why: <numbers, operands, where>
///       try: <what to type>
///
/// Control characters, which a damaged file may carry, become spaces or '?'.
[[nodiscard]] std::string three_lines(const Error& error);

/// `text` on one line, without control characters, with whole characters only, at most 2000 bytes.
[[nodiscard]] std::string one_line(std::string_view text);

}  // namespace cardloom::app
