// Input: the body of an OpenAI request. Each parser accepts it within its limits, or says why not.
#include <cstdint>
#include <string>
#include <string_view>

#include "cardloom/api/api.h"
#include "cardloom/api/small_requests.h"
#include "cardloom/base/utf8.h"
#include "cardloom/models/chat_template.h"
#include "cardloom/models/chat_tools.h"
#include "fuzz/reply_text.h"

namespace {

using cardloom::api::ApiError;
using cardloom::api::GenerationRequest;
using cardloom::api::RequestLimits;

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
  for (const auto style : {cardloom::ChatStyle::kGlm4v, cardloom::ChatStyle::kGlm4}) {
    const auto tools = cardloom::render_tools(request.tools, style, "tools");
    require(tools.has_value() && cardloom::is_valid_utf8(*tools));
  }
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

/// One line of JSON, or the end, behind each `data: `.
void require_events(std::string_view bytes) {
  for_each_event(bytes, [](std::string_view event) {
    if (event == "data: [DONE]") return;
    require(event.starts_with("data: ") && event.find('\n') == std::string_view::npos);
    require_json(event.substr(6));
  });
}

/// A token that is a part of a character, and one that is more than `text`.
cardloom::api::TokenDetail make_detail(const std::string& text) {
  cardloom::api::TokenDetail detail;
  detail.chosen = {.id = 1, .bytes = "\xE4\xBD", .logprob = -0.5};
  detail.top.push_back({.id = 2, .bytes = text, .logprob = -1e300});
  return detail;
}

/// Echoes the request's own texts as an answer, streamed and whole.
template <class Make>
void check_writer(const GenerationRequest& request, const Make& make) {
  cardloom::api::ReplyIdentity identity;
  identity.model = request.model;
  if (request.return_token_ids) identity.prompt_ids = {{1, 2}};
  cardloom::api::ReplyDelta delta;
  if (!request.messages.empty()) delta.text = request.messages.back().content;
  delta.text += request.model;
  if (request.sampling.num_logprobs >= 0) delta.logprobs.push_back(make_detail(delta.text));
  if (request.return_token_ids) delta.token_ids = {1};
  const auto stream = make(request, identity);
  require_events(stream->begin());
  if (request.return_progress) require_events(stream->progress({}));
  for (std::int64_t choice = 0; choice < request.n; ++choice) {
    delta.choice = choice;
    require_events(stream->delta(delta, {}));
    require_events(stream->end_choice(choice, cardloom::api::ReplyEnd::kStop, {}));
  }
  require_events(stream->ping());
  require_events(stream->end({}, {}));
  cardloom::api::ReplyChoice choice;
  choice.text = delta.text;
  choice.logprobs = delta.logprobs;
  choice.token_ids = delta.token_ids;
  require_json(make(request, identity)->body({choice}, {}, {}));
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
      check_writer(request, is_chat ? cardloom::api::make_chat_completion_writer
                                    : cardloom::api::make_completion_writer);
    }
    const auto tokenize = cardloom::api::parse_tokenize(body, limits);
    if (const ApiError* error = std::get_if<ApiError>(&tokenize)) {
      check_refusal(*error);
    } else if (const auto& chat = std::get<cardloom::api::TokenizeRequest>(tokenize).request;
               chat.prompts.empty()) {
      check_messages(chat);
    }
    const auto detokenize = cardloom::api::parse_detokenize(body, limits);
    if (const ApiError* error = std::get_if<ApiError>(&detokenize)) check_refusal(*error);
    require_json(cardloom::api::detokenize_body(body));
    require_json(cardloom::api::tokenize_body(
        {.tokens = {1}, .token_strings = {std::string(body)}, .count = 1}, true));
  }
  return 0;
}
