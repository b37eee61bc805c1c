#include "cardloom/base/utf8.h"

#include <algorithm>

namespace cardloom {
namespace {

/// What may follow a lead byte (Unicode 14.0, table 3-7).
struct LeadByte {
  std::uint8_t num_bytes = 0;  ///< of the whole character; 0: no character begins so
  std::uint8_t second_min = 0x80;
  std::uint8_t second_max = 0xBF;
};

constexpr LeadByte classify(std::uint8_t lead) {
  if (lead < 0x80) return {1};
  if (lead < 0xC2) return {0};  // continuation bytes, and overlong forms of ASCII
  if (lead < 0xE0) return {2};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};  // below: overlong
  if (lead == 0xED) return {3, 0x80, 0x9F};  // above: surrogates
  if (lead < 0xF0) return {3};
  if (lead == 0xF0) return {4, 0x90, 0xBF};  // below: overlong
  if (lead < 0xF4) return {4};
  if (lead == 0xF4) return {4, 0x80, 0x8F};  // above: beyond U+10FFFF
  return {0};
}

}  // namespace

Utf8Step next_code_point(std::string_view text, std::size_t pos) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[pos + i]); };
  const std::uint8_t first = byte(0);
  const LeadByte lead = classify(first);
  if (lead.num_bytes == 1) return {first, 1, Utf8Kind::kValid};
  if (lead.num_bytes == 0) return {kReplacementCharacter, 1, Utf8Kind::kInvalid};
  char32_t value = first & (0x7FU >> lead.num_bytes);
  for (std::uint8_t i = 1; i < lead.num_bytes; ++i) {
    if (pos + i >= text.size()) return {kReplacementCharacter, i, Utf8Kind::kTruncated};
    const std::uint8_t next = byte(i);
    const std::uint8_t min = i == 1 ? lead.second_min : 0x80;
    const std::uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (next < min || next > max) return {kReplacementCharacter, i, Utf8Kind::kInvalid};
    value = (value << 6) | (next & 0x3FU);
  }
  return {value, lead.num_bytes, Utf8Kind::kValid};
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t pos = 0; pos < text.size();) {
    const Utf8Step step = next_code_point(text, pos);
    if (step.kind != Utf8Kind::kValid) return false;
    pos += step.num_bytes;
  }
  return true;
}

std::size_t num_truncated_bytes(std::string_view text) {
  // A lead byte begins a step wherever it stands, so the last three bytes decide alone.
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const std::size_t pos = text.size() - back;
    if (classify(static_cast<std::uint8_t>(text[pos])).num_bytes == 0) continue;
    return next_code_point(text, pos).kind == Utf8Kind::kTruncated ? back : 0;
  }
  return 0;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (std::size_t pos = 0; pos < text.size();) {
    const Utf8Step step = next_code_point(text, pos);
    if (step.kind == Utf8Kind::kValid) {
      valid.append(text, pos, step.num_bytes);
    } else {
      append_utf8(valid, kReplacementCharacter);
    }
    pos += step.num_bytes;
  }
  return valid;
}

void append_utf8(std::string& text, char32_t code_point) {
  if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF)) {
    code_point = kReplacementCharacter;
  }
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
    return;
  }
  if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
  }
  put(0x80 | (code_point & 0x3F));
}

}  // namespace cardloom
