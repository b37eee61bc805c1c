#include "cardloom/server/data_url.h"

#include <gtest/gtest.h>

#include "cardloom/base/base64.h"

namespace cardloom::server {
namespace {

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
  const std::string url = "data:image/png;base64," + encode_base64(std::string(1000, 'x'));
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
