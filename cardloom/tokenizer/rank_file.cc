#include "cardloom/tokenizer/rank_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "cardloom/base/ascii.h"
#include "cardloom/base/base64.h"

namespace cardloom {
namespace {

// GLM-4's longest token has 512 bytes, its file 151,329 lines; there is room for its successors.
constexpr std::size_t kMaxTokenBytes = 4096;
constexpr std::int32_t kMaxTokens = 1 << 22;

/// The start of a line, fit to be shown.
std::string excerpt(std::string_view line) {
  std::string shown;
  for (const char c : line.substr(0, 40)) {
    const bool is_printable = c >= 0x20 && c < 0x7F;
    shown += is_printable ? std::string(1, c) : fmt::format("\\x{:02x}", c & 0xFF);
  }
  return line.size() > 40 ? shown + "..." : shown;
}

Error wrong_line(std::string_view what, std::int32_t line_number, std::string_view line,
                 const std::string& rule) {
  return make_error(ErrorCode::kDataLoss, fmt::format("{}, line {}: {}", what, line_number, rule),
                    fmt::format("the line is \"{}\"", excerpt(line)),
                    "fetch the file again; GLM-4's has 2,623,634 bytes");
}

/// Appends the token of one line, which must have the rank that is next.
Status append_line(Vocabulary& tokens, std::string_view line, std::string_view what) {
  const std::int32_t rank = tokens.size();
  const auto wrong = [&](const std::string& rule) {
    return wrong_line(what, rank + 1, line, rule);
  };
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return wrong("must be base64, one space and a rank");
  const std::string_view digits = line.substr(space + 1);
  const std::optional<std::int32_t> found = parse_number<std::int32_t>(digits);
  if (!found || *found < 0) return wrong("must be base64, one space and a rank");
  if (*found != rank) return wrong(fmt::format("rank must be {}, is {}", rank, *found));
  // Longer tokens are refused before they are decoded.
  if (space > (kMaxTokenBytes + 2) / 3 * 4) {
    return wrong(fmt::format("a token may have at most {} bytes", kMaxTokenBytes));
  }
  const Result<std::string> bytes = decode_base64(line.substr(0, space));
  if (!bytes || bytes->empty()) return wrong("the token is not valid base64");
  if (const std::int32_t twin = tokens.append(*bytes); twin >= 0) {
    return wrong(fmt::format("the same token as line {}", twin + 1));
  }
  return {};
}

}  // namespace

Result<Vocabulary> parse_rank_file(std::string_view text, std::string_view what) {
  Vocabulary tokens;
  while (!text.empty()) {
    if (tokens.size() == kMaxTokens) {
      return make_error(ErrorCode::kResourceExhausted, fmt::format("{} is too large", what),
                        fmt::format("more than {} tokens", kMaxTokens));
    }
    const std::string_view line = text.substr(0, text.find('\n'));
    if (const Status status = append_line(tokens, line, what); !status) return status.error();
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (tokens.find(std::string_view(&c, 1)) >= 0) continue;
    return make_error(ErrorCode::kDataLoss,
                      fmt::format("{} must hold all 256 single bytes, lacks 0x{:02x}", what, byte),
                      fmt::format("it has {} tokens", tokens.size()),
                      "fetch the file again; GLM-4's has 2,623,634 bytes");
  }
  return tokens;
}

}  // namespace cardloom
