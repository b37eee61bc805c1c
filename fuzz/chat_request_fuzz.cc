// Input: the body of an OpenAI request. Each parser accepts it within its limits, or says why not.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cardloom/api/api.h"
#include "cardloom/api/small_requests.h"
#include "cardloom/base/utf8.h"
#include "cardloom/models/chat_template.h"

namespace {

using cardloom::api::ApiError;
using cardloom::api::GenerationRequest;
using cardloom::api::RequestLimits;

void require(bool holds) {
  if (!holds) std::abort();
}

void require_json(std::string_view text) {
  require(cardloom::parse_json(text, "the text").has_value());
}

RequestLimits make_limits(bool strict) {
  RequestLimits limits;
  limits.vocab_size = 1000;
  limits.max_tokens = 100;
  limits.strict = strict;
  return limits;
}

void check_refusal(const ApiError& error) {
  require(error.status == 400 || error.status == 413);
  require(!error.message.empty() && error.message.size() < 16384);
  require(cardloom::is_valid_utf8(error.message) && cardloom::is_valid_utf8(error.param));
  require_json(error_body(error, cardloom::api::ErrorShape::kOpenAi, "r"));
  require_json(error_body(error, cardloom::api::ErrorShape::kAnthropic, "r"));
}

void check_messages(const GenerationRequest& request) {
  std::size_t num_images = 0;
  for (const auto& message : request.messages) {
    require(cardloom::is_chat_role(message.role));
    require(message.metadata.find('\n') == std::string::npos);
    num_images += message.images.size();
  }
  require(num_images == request.pictures.size());
  const auto text = cardloom::render_glm4_chat(request.messages);
  require(text.has_value() == (num_images == 0));
}

void check_request(const GenerationRequest& request, const RequestLimits& limits) {
  require(cardloom::validate(request.sampling).ok());
  require(request.messages.empty() != request.prompts.empty());
  require(static_cast<std::int64_t>(request.pictures.size()) <= limits.max_images);
  require(request.n >= 1 && request.n <= limits.max_n);
  require(request.max_tokens >= 1 && request.max_tokens <= limits.max_tokens);
  require(request.min_tokens >= 0 && request.min_tokens <= request.max_tokens);
  require(request.priority >= 0 && request.priority <= 2);
  for (const auto& bias : request.sampling.logit_bias) {
    require(bias.id >= 0 && bias.id < limits.vocab_size);
  }
  for (const std::int32_t id : request.stop_token_ids) {
    require(id >= 0 && id < limits.vocab_size);
  }
  for (const std::string& stop : request.stop) require(!stop.empty());
  for (const std::string& name : request.ignored_fields) {
    for (const char c : name) require(c > ' ' && c <= '~' && c != ',');
  }
  check_messages(request);
}

/// Echoes the request's own texts as an answer.
void check_writer(cardloom::api::ReplyWriter& writer, const GenerationRequest& request) {
  cardloom::api::ReplyDelta delta;
  if (!request.messages.empty()) delta.text = request.messages.back().content;
  delta.text += request.model;
  if (!delta.text.empty()) {
    const std::string event = writer.delta(delta, {});
    require(event.substr(0, 6) == "data: " && event.find('\n') == event.size() - 2);
    require_json(std::string_view(event).substr(6));
  }
  cardloom::api::ReplyChoice choice;
  choice.text = delta.text;
  require_json(writer.body({choice}, {}, {}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const bool strict : {false, true}) {
    const RequestLimits limits = make_limits(strict);
    for (const bool is_chat : {true, false}) {
      const auto parsed =
          is_chat ? parse_chat_completion(body, limits) : parse_completion(body, limits);
      if (const ApiError* error = std::get_if<ApiError>(&parsed)) {
        check_refusal(*error);
        continue;
      }
      const auto& request = std::get<GenerationRequest>(parsed);
      require(!strict || request.ignored_fields.size() <= 16);
      check_request(request, limits);
      const auto writer =
          is_chat ? make_chat_completion_writer(request, {}) : make_completion_writer(request, {});
      check_writer(*writer, request);
    }
    const auto tokenize = cardloom::api::parse_tokenize(body, limits);
    if (const ApiError* error = std::get_if<ApiError>(&tokenize)) check_refusal(*error);
    const auto detokenize = cardloom::api::parse_detokenize(body, limits);
    if (const ApiError* error = std::get_if<ApiError>(&detokenize)) check_refusal(*error);
  }
  return 0;
}
