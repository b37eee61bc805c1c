#pragma once

#include <cstdint>
#include <string_view>

namespace cardloom::server {

/// Values that the JSON of one request may have. Parsed, one takes 96 bytes at the most beside its
/// text (an object's entry with its name), which may be two bytes long: without this limit a body
/// could take fifty times its size.
inline constexpr std::int64_t kMaxJsonValues = std::int64_t{1} << 20;
inline constexpr std::int64_t kJsonValueBytes = 96;

/// Whether a text that may be JSON has more than `limit` commas, colons and opening brackets
/// outside its strings, which no JSON with so few values has. Reads no further than it must.
[[nodiscard]] bool has_more_json_values(std::string_view text, std::int64_t limit);

}  // namespace cardloom::server
