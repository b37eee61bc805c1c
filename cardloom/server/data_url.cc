#include "cardloom/server/data_url.h"

#include <fmt/format.h>

#include <array>

namespace cardloom::server {
namespace {

constexpr std::uint8_t kNoDigit = 0xFF;

constexpr std::array<std::uint8_t, 256> make_digits() {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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

Result<std::string> decode_data_url(std::string_view url, std::int64_t max_bytes) {
  constexpr std::string_view kScheme = "data:";
  constexpr std::string_view kBase64 = ";base64";
  // Parameters are short; a comma far out belongs to something else.
  constexpr std::size_t kMaxHead = 256;
  const std::size_t comma = url.substr(0, kMaxHead).find(',');
  if (!url.starts_with(kScheme) || comma == std::string_view::npos ||
      !url.substr(0, comma).ends_with(kBase64)) {
    return make_error(ErrorCode::kInvalidArgument, "this is no data: URL with base64 data", {},
                      "send data:image/jpeg;base64, and the picture's bytes in base64");
  }
  const std::string_view data = url.substr(comma + 1);
  const std::size_t padding = data.ends_with("==") ? 2 : data.ends_with('=') ? 1 : 0;
  const std::int64_t num_bytes =
      static_cast<std::int64_t>(data.size() / 4 * 3) - static_cast<std::int64_t>(padding);
  if (num_bytes > max_bytes) {
    return make_error(
        ErrorCode::kResourceExhausted,
        fmt::format("the picture has {} bytes, but {} are allowed", num_bytes, max_bytes), {},
        "send a smaller picture; the model sees it at its own size anyway");
  }
  return decode_base64(data);
}

}  // namespace cardloom::server
