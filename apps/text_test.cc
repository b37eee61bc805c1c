#include "apps/text.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "apps/failure.h"

namespace cardloom::app {
namespace {

TEST(Text, BytesInBinaryUnits) {
  EXPECT_EQ(binary_bytes(std::int64_t{0}), "0 B");
  EXPECT_EQ(binary_bytes(std::int64_t{1023}), "1023 B");
  EXPECT_EQ(binary_bytes(std::int64_t{1536}), "1.5 KiB");
  EXPECT_EQ(binary_bytes(std::int64_t{27'800'000'000}), "25.9 GiB");
  EXPECT_EQ(binary_bytes(1e24), "867362 EiB");
}

TEST(Text, GroupsDigits) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(13906320896), "13,906,320,896");
  EXPECT_EQ(grouped(-1000), "-1,000");
}

TEST(Text, ParsesIds) {
  EXPECT_EQ(parse_ids(" 1,2\n3 ").value_or_throw(), (std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ(parse_ids("-7").value_or_throw(), (std::vector<std::int32_t>{-7}));
  for (const char* bad : {"", " , ", "1 x", "1.5", "2147483648", "1 2-"}) {
    EXPECT_FALSE(parse_ids(bad)) << bad;
  }
}

TEST(Text, JsonNumbersAreReadable) {
  const json::value value = {{"a", 19.42}, {"b", {1, -2, 0.5}}, {"c", nullptr}, {"d", "\"\n"}};
  EXPECT_EQ(to_json_text(value), R"({"a":19.42,"b":[1,-2,0.5],"c":null,"d":"\"\n"})");
  EXPECT_EQ(to_json_text(json::object{}), "{}");
  EXPECT_EQ(to_json_text(json::array{}), "[]");
  EXPECT_TRUE(parse_json(to_json_text(1e300), "x"));
}

TEST(Failures, AreThreeLinesWhateverTheyHold) {
  const std::string told =
      three_lines(make_error(ErrorCode::kDataLoss, "bad\nname \x1b[2J \xff", "why\r\nnot", ""));
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 3);
  EXPECT_EQ(told.find('\x1b'), std::string::npos);
  EXPECT_NE(told.find("\n  try: get the file again"), std::string::npos);
}

TEST(ScaledNumbers, AreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_scaled("010"), 10);
  EXPECT_EQ(parse_scaled("-3"), -3);
  EXPECT_EQ(parse_scaled("32k"), 32'000);
  EXPECT_EQ(parse_scaled("32K"), 32'768);
  EXPECT_EQ(parse_scaled("64M"), 64 << 20);
  EXPECT_EQ(parse_scaled("2m"), 2'000'000);
  EXPECT_EQ(parse_scaled("3G"), std::int64_t{3} << 30);
  EXPECT_EQ(parse_scaled("3g"), 3'000'000'000);
  for (const char* text : {"", "k", "M", "1.5k", "0x10", "1 k", " 1", "+1", "1kk", "1T",
                           "9223372036854775808", "9007199254740992K"}) {
    EXPECT_EQ(parse_scaled(text), std::nullopt) << text;
  }
}

TEST(Failures, AreNotAsLongAsTheInput) {
  const std::string told = three_lines(make_error(ErrorCode::kNotFound, std::string(1 << 20, 'x')));
  EXPECT_LT(told.size(), 3000U);
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 3);
}

TEST(Failures, HaveExitCodesByKind) {
  EXPECT_EQ(exit_code_of(make_error(ErrorCode::kResourceExhausted, "")), kExitNoMemory);
  EXPECT_EQ(exit_code_of(make_error(ErrorCode::kDeadlineExceeded, "")), kExitDevice);
  EXPECT_EQ(exit_code_of(make_error(ErrorCode::kInternal, "")), kExitFailed);
}

}  // namespace
}  // namespace cardloom::app
