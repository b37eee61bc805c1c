#include "apps/failure.h"

#include <fmt/format.h>

#include "cardloom/base/utf8.h"

namespace cardloom::app {
namespace {

/// Enough for every message of ours; an input that got into one must not fill the terminal.
constexpr std::size_t kMaxLineBytes = 2000;

const char* general_remedy(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound:
      return "check the path, or see `cardloom --help`";
    case ErrorCode::kResourceExhausted:
      return "ask for less: `--context`, `--chunk`, a smaller picture, or more cards with `--tp`";
    case ErrorCode::kDataLoss:
      return "get the file again: it is damaged or incomplete";
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadlineExceeded:
      return "run it again; with CARDLOOM_LAUNCH_BLOCKING=1 if it happens again";
    case ErrorCode::kInternal:
      return "report this as a bug, with the lines above and the command";
    default:
      return "see `cardloom --help`";
  }
}

}  // namespace

ExitCode exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kResourceExhausted:
      return kExitNoMemory;
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kUnavailable:
      return kExitDevice;
    case ErrorCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitFailed;
  }
}

void fail_usage(std::string message, std::string detail, std::string remedy, Location at) {
  throw Failure(kExitUsage, make_error(ErrorCode::kInvalidArgument, std::move(message),
                                       std::move(detail), std::move(remedy), at));
}

void unwrap(const Status& status, ExitCode exit_code) {
  if (!status) throw Failure(exit_code, status.error());
}

std::string one_line(std::string_view text) {
  std::string line = replace_invalid_utf8(text.substr(0, kMaxLineBytes));
  if (text.size() > kMaxLineBytes) line += "...";
  for (char& c : line) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return line;
}

std::string three_lines(const Error& error) {
  const std::string where = fmt::format("{}:{}", error.at.file, error.at.line);
  const std::string why = error.detail.empty() ? fmt::format("{}, {}", to_string(error.code), where)
                                               : fmt::format("{} ({})", error.detail, where);
  const std::string remedy = error.remedy.empty() ? general_remedy(error.code) : error.remedy;
  return fmt::format("error: {}\n  why: {}\n  try: {}\n", one_line(error.message), one_line(why),
                     one_line(remedy));
}

}  // namespace cardloom::app
