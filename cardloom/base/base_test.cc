#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "cardloom/base/error.h"
#include "cardloom/base/file.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/base/json.h"

namespace cardloom {
namespace {

TEST(Error, NamesTheLineThatAsked) {
  const Error error = make_error(ErrorCode::kNotFound, "no such thing", "1 of 2");
  const unsigned line = __LINE__ - 1;
  EXPECT_NE(error.describe().find("no such thing (1 of 2, "), std::string::npos);
  EXPECT_EQ(error.at.line, line);
  EXPECT_NE(error.describe().find("base_test.cc:" + std::to_string(line)), std::string::npos);
}

TEST(Result, CarriesValueOrError) {
  const Result<int> good = 3;
  EXPECT_TRUE(good.has_value());
  EXPECT_EQ(*good, 3);
  Result<int> bad = make_error(ErrorCode::kDataLoss, "bad");
  EXPECT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().code, ErrorCode::kDataLoss);
  EXPECT_THROW((void)std::move(bad).value_or_throw(), Exception);
}

TEST(IntegerMath, RefusesOverflow) {
  EXPECT_EQ(checked_mul(1LL << 40, 1LL << 30), std::nullopt);
  EXPECT_EQ(checked_mul(-3, 5), -15);
  EXPECT_EQ(checked_add(INT64_MAX, 1), std::nullopt);
  EXPECT_EQ(round_up(13, 8), 16);
  EXPECT_EQ(ceil_div(0, 8), 0);
}

TEST(ReadFile, NamesWhatIsWrong) {
  EXPECT_EQ(read_file("/nonexistent/x", 10).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read_file("/tmp", 10).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(read_file("/dev/zero", 10).error().code, ErrorCode::kInvalidArgument);
  const std::string path = testing::TempDir() + "cardloom_base_test_" + std::to_string(getpid());
  std::ofstream(path) << "12345678901";
  EXPECT_EQ(read_file(path, 10).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(*read_file(path, 11), "12345678901");
  const Result<MappedFile> mapped = MappedFile::open(path);
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->bytes().size(), 11U);
  unlink(path.c_str());
}

TEST(ParseJson, SaysWhereItStopped) {
  EXPECT_EQ(parse_json("{\"a\": [1, 2]}", "x")->at("a").as_array().size(), 2U);
  for (const char* bad : {"", "{", "{\"a\":}", "[1,]", "1 2", "\"\xff\"", "nul", "{\"a\":1,}"}) {
    const Result<json::value> parsed = parse_json(bad, "config.json");
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().message, "config.json is not valid JSON");
  }
  EXPECT_FALSE(parse_json(std::string(100000, '['), "deep"));
}

}  // namespace
}  // namespace cardloom
