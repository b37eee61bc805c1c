#include "cardloom/server/json_size.h"

#include <algorithm>

namespace cardloom::server {
namespace {

/// Behind the string that begins before `at`.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (;;) {
    const std::size_t quote = text.find('"', at);
    if (quote == std::string_view::npos) return text.size();
    std::size_t escapes = 0;
    while (quote - escapes > at && text[quote - escapes - 1] == '\\') ++escapes;
    at = quote + 1;
    if (escapes % 2 == 0) return at;
  }
}

}  // namespace

bool has_more_json_values(std::string_view text, std::int64_t limit) {
  std::int64_t count = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char byte = text[at++];
    if (byte == '"') {
      at = end_of_string(text, at);
    } else if (byte == ',' || byte == ':' || byte == '[' || byte == '{') {
      if (++count > limit) return true;
    }
  }
  return false;
}

}  // namespace cardloom::server
