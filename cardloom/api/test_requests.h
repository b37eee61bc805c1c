#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/api/api.h"
#include "cardloom/api/small_requests.h"

/// What the tests of refusals share.
namespace cardloom::api {

enum class Where { kChat, kCompletion, kTokenize, kDetokenize };

struct Case {
  Where where = Where::kChat;
  std::string body;
  int status = 400;
  std::string param;
  std::string code;
  std::string fragment;  ///< of the message
};

inline RequestLimits test_limits() {
  RequestLimits limits;
  limits.vocab_size = 1000;
  limits.max_messages = 4;
  limits.max_images = 2;
  limits.max_image_bytes = 300;
  limits.max_tools = 2;
  limits.max_schema_bytes = 100;
  limits.max_stop = 3;
  limits.max_stop_bytes = 8;
  limits.max_n = 4;
  limits.max_prompts = 2;
  return limits;
}

inline std::optional<ApiError> refused(Where where, std::string_view body,
                                       const RequestLimits& limits) {
  const auto error_in = [](const auto& parsed) -> std::optional<ApiError> {
    const ApiError* error = std::get_if<ApiError>(&parsed);
    return error == nullptr ? std::nullopt : std::optional<ApiError>(*error);
  };
  switch (where) {
    case Where::kChat:
      return error_in(parse_chat_completion(body, limits));
    case Where::kCompletion:
      return error_in(parse_completion(body, limits));
    case Where::kTokenize:
      return error_in(parse_tokenize(body, limits));
    case Where::kDetokenize:
      return error_in(parse_detokenize(body, limits));
  }
  return {};
}

/// A good chat with more fields.
inline std::string chat(std::string_view fields) {
  return fmt::format(R"({{"messages":[{{"role":"user","content":"hi"}}],{}}})", fields);
}
inline std::string completion(std::string_view fields) {
  return fmt::format(R"({{"prompt":"hi",{}}})", fields);
}
inline std::string messages(std::string_view list) {
  return fmt::format(R"({{"messages":[{}]}})", list);
}
/// A user's message of one part.
inline std::string part(std::string_view object) {
  return messages(fmt::format(R"({{"role":"user","content":[{}]}})", object));
}
inline std::string picture(std::string_view fields) {
  return part(fmt::format(R"({{"type":"image_url","image_url":{{{}}}}})", fields));
}
/// The fields with a tool f in front.
inline std::string with_tool(std::string_view fields) {
  return chat(
      fmt::format(R"("tools":[{{"type":"function","function":{{"name":"f"}}}}],{})", fields));
}
inline std::string repeat(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

inline void expect_refusals(const std::vector<Case>& cases, bool strict = false) {
  RequestLimits limits = test_limits();
  limits.strict = strict;
  for (const Case& test : cases) {
    SCOPED_TRACE(test.body.substr(0, 300));
    const std::optional<ApiError> error = refused(test.where, test.body, limits);
    if (!error) {
      ADD_FAILURE() << "was accepted";
      continue;
    }
    EXPECT_EQ(error->status, test.status);
    EXPECT_EQ(error->param, test.param);
    EXPECT_EQ(error->code, test.code);
    EXPECT_EQ(error->type, "invalid_request_error");
    EXPECT_NE(error->message.find(test.fragment), std::string::npos)
        << "message: " << error->message << "\nwanted:  " << test.fragment;
  }
}

inline constexpr Where kChat = Where::kChat;
inline constexpr Where kCompletion = Where::kCompletion;

}  // namespace cardloom::api
