#include "cardloom/tokenizer/unicode_classes.h"

#include <algorithm>

namespace cardloom {

CharClass char_class(char32_t code_point) {
  if (code_point < 0x80) {  // most text, without the search
    const char32_t lower = code_point | 0x20;
    if (lower >= 'a' && lower <= 'z') return CharClass::kLetter;
    if (code_point >= '0' && code_point <= '9') return CharClass::kNumber;
    const bool is_space = code_point == ' ' || (code_point >= 9 && code_point <= 13);
    return is_space ? CharClass::kSpace : CharClass::kOther;
  }
  const std::span<const CharRange> ranges = char_ranges();
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), code_point,
                                      [](char32_t c, const CharRange& r) { return c < r.first; });
  if (after == ranges.begin()) return CharClass::kOther;
  const CharRange& range = *(after - 1);
  return code_point <= range.last ? range.char_class : CharClass::kOther;
}

}  // namespace cardloom
