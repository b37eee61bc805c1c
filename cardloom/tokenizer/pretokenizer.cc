#include "cardloom/tokenizer/pretokenizer.h"

#include <cstdint>

#include "cardloom/base/utf8.h"
#include "cardloom/tokenizer/unicode_classes.h"

namespace cardloom {
namespace {

/// One character and where the next begins. At the end of the text: kOther, code point 0, and
/// `end` == the text's size; the callers look at `at_end` before they ask for the class.
struct Char {
  char32_t code_point = 0;
  CharClass char_class = CharClass::kOther;
  std::size_t end = 0;
  bool at_end = true;

  [[nodiscard]] bool is(CharClass wanted) const { return !at_end && char_class == wanted; }
  [[nodiscard]] bool is_newline() const { return code_point == '\r' || code_point == '\n'; }
};

Char char_at(std::string_view text, std::size_t pos) {
  if (pos >= text.size()) return {0, CharClass::kOther, text.size(), true};
  const Utf8Step step = next_code_point(text, pos);
  return {step.code_point, char_class(step.code_point), pos + step.num_bytes, false};
}

/// The end of the longest run of `wanted` from `pos`, at most `max_chars` long.
std::size_t run_end(std::string_view text, std::size_t pos, CharClass wanted,
                    std::size_t max_chars = SIZE_MAX) {
  for (std::size_t i = 0; i < max_chars; ++i) {
    const Char next = char_at(text, pos);
    if (!next.is(wanted)) break;
    pos = next.end;
  }
  return pos;
}

/// `c` in lower case, if (?i:) of the pattern can take it for a letter of a contraction. U+017F,
/// the long s, folds to s: simple case folding, as Rust's and Python's regex do it.
char32_t fold(char32_t c) {
  if (c >= 'A' && c <= 'Z') return c | 0x20;
  return c == 0x17F ? U's' : c;
}

/// The end of (?i:'s|'t|'re|'ve|'m|'ll|'d) after an apostrophe that ends at `pos`; 0 if none.
std::size_t contraction_end(std::string_view text, std::size_t pos) {
  const Char first = char_at(text, pos);
  if (first.at_end) return 0;
  const char32_t a = fold(first.code_point);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return first.end;
  const Char second = char_at(text, first.end);
  if (second.at_end) return 0;
  const char32_t b = fold(second.code_point);
  const bool matches = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
  return matches ? second.end : 0;
}

/// The end of [^\s\p{L}\p{N}]+[\r\n]* from `pos`, where the first class matches.
std::size_t symbols_end(std::string_view text, std::size_t pos) {
  pos = run_end(text, pos, CharClass::kOther);
  while (pos < text.size() && (text[pos] == '\r' || text[pos] == '\n')) ++pos;
  return pos;
}

/// The end of \s*[\r\n]+ | \s+(?!\S) | \s+ from `begin`, where a space stands.
std::size_t spaces_end(std::string_view text, std::size_t begin) {
  std::size_t after_newline = 0;  // behind the run's last newline
  std::size_t last = begin;       // where the run's last character begins
  std::size_t pos = begin;
  for (Char next = char_at(text, pos); next.is(CharClass::kSpace); next = char_at(text, pos)) {
    if (next.is_newline()) after_newline = next.end;
    last = pos;
    pos = next.end;
  }
  if (after_newline != 0) return after_newline;  // \s* gives back what follows the last newline
  if (pos == text.size() || last == begin) return pos;
  return last;  // (?!\S): the last space is left to the word that follows
}

}  // namespace

std::size_t piece_end(std::string_view text, std::size_t begin) {
  const Char first = char_at(text, begin);
  if (first.code_point == '\'') {
    if (const std::size_t end = contraction_end(text, first.end); end != 0) return end;
  }
  if (first.is(CharClass::kLetter)) return run_end(text, first.end, CharClass::kLetter);
  if (first.is(CharClass::kNumber)) return run_end(text, begin, CharClass::kNumber, 3);
  const Char second = char_at(text, first.end);
  if (!first.is_newline() && second.is(CharClass::kLetter)) {
    return run_end(text, second.end, CharClass::kLetter);
  }
  if (first.is(CharClass::kOther)) return symbols_end(text, begin);
  if (first.code_point == ' ' && second.is(CharClass::kOther)) {
    return symbols_end(text, first.end);
  }
  return spaces_end(text, begin);
}

}  // namespace cardloom
