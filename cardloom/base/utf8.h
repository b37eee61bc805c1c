#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cardloom {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

enum class Utf8Kind : std::uint8_t {
  kValid,      ///< a whole character
  kInvalid,    ///< bytes that no well-formed text holds at this place
  kTruncated,  ///< the text ends inside a character that is well-formed so far
};

/// One step through a text: a character, or the bytes that stand where one should be.
struct Utf8Step {
  char32_t code_point = kReplacementCharacter;  ///< U+FFFD unless `kind` is kValid
  std::uint8_t num_bytes = 1;                   ///< 1..4: how far to go for the next step
  Utf8Kind kind = Utf8Kind::kInvalid;
};

/// The character that begins at byte `pos` of `text`; needs pos < text.size().
///
/// What is not well-formed (overlong, surrogate, above U+10FFFF, stray, cut off) is stepped over by
/// "maximal subparts", so that replacing every such step by one U+FFFD gives what Python's
/// bytes.decode("utf-8", errors="replace") gives. Source: Unicode 14.0, table 3-7 and section 3.9.
[[nodiscard]] Utf8Step next_code_point(std::string_view text, std::size_t pos);

/// Whether every step through `text` is a whole character.
[[nodiscard]] bool is_valid_utf8(std::string_view text);

/// How many bytes (0..3) at the end of `text` begin a character that later bytes may complete.
[[nodiscard]] std::size_t num_truncated_bytes(std::string_view text);

/// `text` with each invalid or truncated step replaced by U+FFFD; valid UTF-8.
[[nodiscard]] std::string replace_invalid_utf8(std::string_view text);

/// Appends the UTF-8 form of `code_point`; a surrogate or a value above U+10FFFF as U+FFFD.
void append_utf8(std::string& text, char32_t code_point);

}  // namespace cardloom
