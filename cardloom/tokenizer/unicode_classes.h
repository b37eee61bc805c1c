#pragma once

#include <cstdint>
#include <span>

namespace cardloom {

/// What GLM-4's split pattern asks of a character; the classes do not overlap.
enum class CharClass : std::uint8_t {
  kOther,
  kLetter,  ///< \p{L}
  kNumber,  ///< \p{N}
  kSpace,   ///< White_Space, that is \s of Rust's regex
};

/// Code points [first, last] of one class.
struct CharRange {
  char32_t first = 0;
  char32_t last = 0;
  CharClass char_class = CharClass::kOther;
};

/// All ranges that are not kOther, ascending (generated: unicode_tables.cc; Unicode 14.0).
[[nodiscard]] std::span<const CharRange> char_ranges();

/// The class of `code_point`; kOther for what is not assigned.
[[nodiscard]] CharClass char_class(char32_t code_point);

}  // namespace cardloom
