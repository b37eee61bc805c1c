#include "cardloom/api/json_writer.h"

#include <gtest/gtest.h>

#include <limits>

#include "cardloom/api/api_error.h"
#include "cardloom/base/json.h"
#include "cardloom/base/utf8.h"

namespace cardloom::api {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonString, EveryCharacterIsReadBackAsItWas) {
  for (char32_t c = 0; c < 0x3000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text = "a";
    append_utf8(text, c);
    text += "b";
    const Result<json::value> value = parse_json(escaped(text), "the string");
    ASSERT_TRUE(value) << static_cast<unsigned>(c);
    EXPECT_EQ(std::string_view(value->get_string()), text) << static_cast<unsigned>(c);
  }
}

TEST(JsonString, HoldsNoEndOfALine) {
  EXPECT_EQ(escaped("a\n\r\t\b\f\"\\"), R"("a\n\r\t\b\f\"\\")");
  EXPECT_EQ(escaped(std::string_view("\0\x1c\x7f", 3)), "\"\\u0000\\u001c\x7f\"");
  EXPECT_EQ(escaped("\xc2\x85"), "\"\\u0085\"");
  EXPECT_EQ(escaped("\xe2\x80\xa8\xe2\x80\xa9"), R"("\u2028\u2029")");
  // Their neighbours stay as they are.
  EXPECT_EQ(escaped("\xc2\xa0\xe2\x80\xaa“é"), "\"\xc2\xa0\xe2\x80\xaa“é\"");
  EXPECT_EQ(escaped(""), "\"\"");
  // A text that ends where such a character might begin.
  EXPECT_EQ(escaped("\xe2\x80"), "\"\xe2\x80\"");
}

TEST(JsonWriterTest, CommasWhereTheyBelong) {
  std::string out = "data: ";
  JsonWriter json(out);
  json.begin_object().key("a").begin_list().end_list().key("b").begin_list();
  json.integer(1).string("[").boolean(false).null().begin_object().end_object().raw("{}");
  json.end_list().field("c", 1.5).field("d", "x").field("e", true).null_field("f");
  json.text_or_null("g", "").text_or_null("h", "y").escaped_key("\"").integer(-3).end_object();
  EXPECT_EQ(out, R"(data: {"a":[],"b":[1,"[",false,null,{},{}],"c":1.5,"d":"x","e":true,"f":null,)"
                 R"("g":null,"h":"y","\"":-3})");
}

TEST(JsonWriterTest, Numbers) {
  const auto real = [](double number) {
    std::string out;
    append_real(out, number);
    return out;
  };
  EXPECT_EQ(real(0.1), "0.1");
  EXPECT_EQ(real(-1e-7), "-1e-07");
  EXPECT_EQ(real(1e300), "1e+300");
  EXPECT_EQ(real(std::numeric_limits<double>::quiet_NaN()), "null");
  EXPECT_EQ(real(-std::numeric_limits<double>::infinity()), "null");
  std::string out;
  append_integer(out, std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(out, "-9223372036854775808");
}

TEST(ApiErrors, OfOurOwnErrors) {
  const auto of = [](ErrorCode code) {
    return api_error_of(make_error(code, "the rule", "1 of 2", "do so"));
  };
  const ApiError invalid = of(ErrorCode::kInvalidArgument);
  EXPECT_EQ(invalid.status, 400);
  EXPECT_EQ(invalid.type, "invalid_request_error");
  EXPECT_EQ(invalid.message, "the rule (1 of 2); do so");
  EXPECT_EQ(of(ErrorCode::kNotFound).status, 404);
  EXPECT_EQ(of(ErrorCode::kUnimplemented).status, 501);
  EXPECT_EQ(of(ErrorCode::kUnimplemented).code, "not_supported");
  EXPECT_EQ(of(ErrorCode::kDeadlineExceeded).status, 504);
  const ApiError full = of(ErrorCode::kResourceExhausted);
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.code, "queue_full");
  EXPECT_EQ(full.headers.at(0).first, "retry-after");
  EXPECT_EQ(full.headers.at(1).first, "retry-after-ms");
  EXPECT_EQ(of(ErrorCode::kUnavailable).status, 503);
  EXPECT_EQ(of(ErrorCode::kUnavailable).headers.at(0).first, "retry-after");
  EXPECT_EQ(of(ErrorCode::kUnavailable).message, "the rule; do so");
  EXPECT_NE(of(ErrorCode::kUnavailable).cause.find("1 of 2"), std::string::npos);
  EXPECT_EQ(invalid.cause, "");
  for (const ErrorCode code : {ErrorCode::kInternal, ErrorCode::kDataLoss, ErrorCode::kCancelled}) {
    const ApiError error = api_error_of(make_error(code, "0xdeadbeef in /home/x/a.cc:7", "/etc"));
    EXPECT_EQ(error.status, 500);
    EXPECT_EQ(error.code, "internal_error");
    EXPECT_EQ(error.message.find_first_of("/0"), std::string::npos) << error.message;
    EXPECT_NE(error.cause.find("0xdeadbeef in /home/x/a.cc:7 (/etc, "), std::string::npos);
    for (const ErrorShape shape : {ErrorShape::kOpenAi, ErrorShape::kAnthropic}) {
      EXPECT_EQ(error_body(error, shape, "req_1").find("dead"), std::string::npos);
    }
  }
}

TEST(ApiErrors, TwoShapes) {
  const ApiError error = invalid("messages[0]", "a \"rule\"", "a_code");
  EXPECT_EQ(error_body(error, ErrorShape::kOpenAi, "req_1"),
            R"({"error":{"message":"a \"rule\"","type":"invalid_request_error",)"
            R"("param":"messages[0]","code":"a_code"}})");
  EXPECT_EQ(error_body(error, ErrorShape::kAnthropic, "req_1"),
            R"({"type":"error","error":{"type":"invalid_request_error",)"
            R"("message":"a \"rule\""},"request_id":"req_1"})");
  const std::pair<int, const char*> types[] = {
      {401, "authentication_error"}, {403, "permission_error"}, {404, "not_found_error"},
      {413, "request_too_large"},    {429, "rate_limit_error"}, {500, "api_error"},
      {503, "overloaded_error"},     {504, "timeout_error"},    {415, "invalid_request_error"}};
  for (const auto& [status, type] : types) {
    ApiError other;
    other.status = status;
    EXPECT_NE(error_body(other, ErrorShape::kAnthropic, "").find(std::string("\"") + type + "\""),
              std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace cardloom::api
