#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace cardloom {

/// What a hexadecimal digit is worth, 0..15, or -1 if `c` is none.
[[nodiscard]] int hex_value(char c);

/// `text` with A-Z as a-z and every other byte as it is, whatever the locale.
[[nodiscard]] std::string lower_case(std::string_view text);

/// Without white space at its ends: spaces, tabs, ends of lines and pages.
[[nodiscard]] std::string_view stripped(std::string_view text);

/// Bytes to insert, delete or replace to make `a` of `b`. Source: Wagner and Fischer 1974.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// `text` with each %XX replaced by its byte ('+' stays). Nothing if a % is not followed by two
/// hexadecimal digits.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

/// `text` as it must stand in HTML and SVG, in attributes too: without < > & and ".
[[nodiscard]] std::string escape_markup(std::string_view text);

/// The number that all of `text` spells, without sign "+", spaces or a rest; nothing if it does not
/// or if the number leaves its type. A float may be "inf" or "nan".
template <class Number>
[[nodiscard]] std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, value);
  if (failure != std::errc() || rest != end) return std::nullopt;
  return value;
}

}  // namespace cardloom
