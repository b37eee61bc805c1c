#include "cardloom/server/data_url.h"

#include <gtest/gtest.h>

#include <random>

namespace cardloom::server {
namespace {

/// The definition, bit by bit.
std::string encode(std::string_view bytes) {
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
    const Result<std::string> decoded = decode_base64(encode(bytes));
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

TEST(DataUrl, GivesTheBytesWhateverTheMediaType) {
  for (const char* head : {"data:image/png;base64,", "data:;base64,",
                           "data:image/jpeg;charset=utf-8;base64,", "data:text/plain;base64,"}) {
    const Result<std::string> bytes = decode_data_url(std::string(head) + "QUJD", 3);
    ASSERT_TRUE(bytes) << head;
    EXPECT_EQ(*bytes, "ABC");
  }
}

TEST(DataUrl, RefusesWhatIsNone) {
  for (const char* url : {"", "data:", "data:image/png,QUJD", "data:image/png;base64", "QUJD",
                          "DATA:image/png;base64,QUJD", "data:image/png;base64 ,QUJD"}) {
    EXPECT_FALSE(decode_data_url(url, 100)) << url;
  }
  EXPECT_FALSE(decode_data_url("data:" + std::string(1000, 'a') + ";base64,QUJD", 100));
}

TEST(DataUrl, LimitsTheBytesBeforeDecoding) {
  const std::string url = "data:image/png;base64," + encode(std::string(1000, 'x'));
  const Result<std::string> refused = decode_data_url(url, 900);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("900"), std::string::npos);
  EXPECT_TRUE(decode_data_url(url, 1000));
}

TEST(DataUrl, ItsSizeIsExact) {
  const std::string head = "data:image/png;base64,";
  for (const auto& [data, size] : {std::pair("AAAA", 3), {"AAA=", 2}, {"AA==", 1}}) {
    EXPECT_TRUE(decode_data_url(head + data, size)) << data;
    const auto larger = decode_data_url(head + data, size - 1);
    ASSERT_FALSE(larger) << data;
    EXPECT_EQ(larger.error().code, ErrorCode::kResourceExhausted) << data;
  }
}

}  // namespace
}  // namespace cardloom::server
