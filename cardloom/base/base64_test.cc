#include "cardloom/base/base64.h"

#include <gtest/gtest.h>

#include <random>

namespace cardloom {
namespace {

/// The definition, bit by bit.
std::string encoded_by_bits(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  unsigned bits = 0;
  int count = 0;
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(byte);
    for (count += 8; count >= 6; count -= 6) text += kAlphabet[bits >> (count - 6) & 63U];
  }
  if (count > 0) text += kAlphabet[bits << (6 - count) & 63U];
  while (text.size() % 4 != 0) text += '=';
  return text;
}

TEST(Base64, GivesBackWhatWasEncoded) {
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 200; ++size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const std::string text = encode_base64(bytes);
    ASSERT_EQ(text, encoded_by_bits(bytes));
    const Result<std::string> decoded = decode_base64(text);
    ASSERT_TRUE(decoded) << size;
    EXPECT_EQ(*decoded, bytes);
  }
}

TEST(Base64, RefusesEveryOtherSpelling) {
  for (const char* text : {"A",      "AA",   "AAA",  "AAA=A",    "=AAA",     "A=AA",
                           "AA=A",   "====", "A===", "AAAA====", "AA==AAAA", "QUI\n",
                           "QUJD\n", " QUJ", "QU-_", "QUJ\xC3",  "QR==",     "QUJ=AAAA",
                           "QUK=",   "QUF=", "Q===", "QU=="}) {
    const Result<std::string> decoded = decode_base64(text);
    EXPECT_FALSE(decoded) << text;
    if (!decoded) {
      EXPECT_NE(decoded.error().message.find("byte"), std::string::npos);
    }
  }
}

TEST(Base64, NamesTheFirstBadByte) {
  EXPECT_NE(decode_base64("QUJDQU D").error().message.find("byte 6"), std::string::npos);
}

}  // namespace
}  // namespace cardloom
