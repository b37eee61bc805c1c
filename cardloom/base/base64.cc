#include "cardloom/base/base64.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace cardloom {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 0xFF;

constexpr std::array<std::uint8_t, 256> make_digits() {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (std::size_t value = 0; value < kAlphabet.size(); ++value) {
    digits[static_cast<unsigned char>(kAlphabet[value])] = static_cast<std::uint8_t>(value);
  }
  return digits;
}
constexpr std::array<std::uint8_t, 256> kDigits = make_digits();

std::uint32_t digit(std::string_view text, std::size_t at) {
  return kDigits[static_cast<unsigned char>(text[at])];
}

Error bad_base64(std::size_t offset, const char* why) {
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("the base64 data breaks off at byte {}: {}", offset, why), {},
                    "send standard base64 with padding and without line breaks");
}

/// Three bytes of each four digits; false at the first four that hold something else.
bool decode_quads(std::string_view text, std::size_t num_quads, std::string& bytes,
                  std::size_t& bad) {
  for (std::size_t quad = 0; quad < num_quads; ++quad) {
    const std::size_t at = quad * 4;
    const std::uint32_t a = digit(text, at);
    const std::uint32_t b = digit(text, at + 1);
    const std::uint32_t c = digit(text, at + 2);
    const std::uint32_t d = digit(text, at + 3);
    if (((a | b | c | d) & 0x80U) != 0) {
      bad = at;
      while (digit(text, bad) != kNoDigit) ++bad;
      return false;
    }
    const std::uint32_t bits = a << 18 | b << 12 | c << 6 | d;
    bytes[quad * 3] = static_cast<char>(bits >> 16);
    bytes[quad * 3 + 1] = static_cast<char>(bits >> 8);
    bytes[quad * 3 + 2] = static_cast<char>(bits);
  }
  return true;
}

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const auto byte = [&](std::size_t index) {
      return at + index < bytes.size() ? static_cast<unsigned char>(bytes[at + index]) : 0U;
    };
    const std::uint32_t bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t index = 0; index < 4; ++index) {
      const bool is_padding = at + index > bytes.size();
      text += is_padding ? '=' : kAlphabet[bits >> (18 - 6 * index) & 63U];
    }
  }
  return text;
}

Result<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return bad_base64(text.size(), "its length is no multiple of 4");
  if (text.empty()) return std::string();
  const std::size_t padding = text.back() != '=' ? 0 : text[text.size() - 2] != '=' ? 1 : 2;
  const std::size_t whole = text.size() / 4 - (padding > 0 ? 1 : 0);
  std::string bytes(whole * 3, '\0');
  std::size_t bad = 0;
  if (!decode_quads(text, whole, bytes, bad)) {
    return bad_base64(bad, "not one of A-Z a-z 0-9 + /");
  }
  if (padding == 0) return bytes;
  const std::size_t at = whole * 4;
  std::uint32_t bits = 0;
  for (std::size_t index = 0; index < 4 - padding; ++index) {
    if (digit(text, at + index) == kNoDigit) {
      return bad_base64(at + index, "not one of A-Z a-z 0-9 + /");
    }
    bits |= digit(text, at + index) << (18 - 6 * index);
  }
  bytes.push_back(static_cast<char>(bits >> 16));
  if (padding == 1) bytes.push_back(static_cast<char>(bits >> 8));
  if ((bits & (padding == 1 ? 0xFFU : 0xFFFFU)) != 0) {
    return bad_base64(at + 3 - padding, "its last digit has bits that no byte takes");
  }
  return bytes;
}

}  // namespace cardloom
