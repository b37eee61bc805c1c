// Input: the body of an Anthropic Messages or OpenAI Responses request; both parsers read it, and
// its own texts are answered, as text and as what a model wrote. Each body is accepted within the
// limits, or told why not; each answer is JSON.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "cardloom/api/api.h"
#include "cardloom/api/tool_call_parser.h"
#include "cardloom/base/utf8.h"
#include "cardloom/models/chat_template.h"
#include "cardloom/models/chat_tools.h"
#include "fuzz/reply_text.h"

namespace {

using namespace cardloom::api;  // NOLINT: a program of one file

/// Every event has a name and one line of JSON; a comment has none.
void require_events(std::string_view bytes) {
  for_each_event(bytes, [](std::string_view event) {
    const std::size_t data = event.find("\ndata: ");
    require(event.substr(0, 7) == "event: " && data != std::string_view::npos);
    require_json(event.substr(data + 7));
  });
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
  require_json(error_body(error, ErrorShape::kOpenAi, "r"));
  require_json(error_body(error, ErrorShape::kAnthropic, "r"));
}

void check_request(const GenerationRequest& request, const RequestLimits& limits) {
  require(cardloom::validate(request.sampling).ok());
  require(!request.messages.empty() && request.prompts.empty());
  require(static_cast<std::int64_t>(request.messages.size()) <= limits.max_messages);
  require(static_cast<std::int64_t>(request.pictures.size()) <= limits.max_images);
  require(request.max_tokens >= 1 && request.max_tokens <= limits.max_tokens);
  require(request.add_generation_prompt != request.continue_final_message);
  if (request.continue_final_message) {
    const cardloom::ChatMessage& last = request.messages.back();
    require(last.role == "assistant" && last.metadata.empty() && !last.content.empty());
  }
  std::size_t num_images = 0;
  for (const cardloom::ChatMessage& message : request.messages) {
    require(cardloom::is_chat_role(message.role));
    require(message.metadata.find('\n') == std::string::npos);
    num_images += message.images.size();
  }
  require(num_images == request.pictures.size());
  require(cardloom::render_glm4_chat(request.messages).has_value() == (num_images == 0));
  require(render_tools(request.tools, cardloom::ChatStyle::kGlm4v, "tools").has_value());
  if (request.tool_choice.kind == ToolChoice::Kind::kNamed) {
    require(tool_grammars(request.tools, request.tool_choice).size() == 1);
  }
}

/// The calls that a model which says the request's words would make.
ReplyChoice parse_calls(const GenerationRequest& request, std::size_t step, ReplyWriter* writer) {
  ToolCallParser parser(callable_tools(request.tools, request.tool_choice),
                        request.parallel_tool_calls, make_id_source("seed"));
  ReplyChoice choice;
  const auto take = [&](const ToolCallParser::Piece& piece) {
    choice.text += piece.text;
    for (const ToolCallDelta& delta : piece.calls) {
      if (!delta.id.empty()) choice.tool_calls.push_back({delta.id, delta.name, {}});
      require(choice.tool_calls.size() == static_cast<std::size_t>(delta.index) + 1);
      choice.tool_calls.back().arguments += delta.arguments;
    }
    if (writer == nullptr) return;
    ReplyDelta delta;
    delta.text = piece.text;
    delta.tool_calls = piece.calls;
    require_events(writer->delta(delta, {}));
  };
  for (const cardloom::ChatMessage& message : request.messages) {
    const std::string text = message.metadata + "\n" + message.content;
    for (std::size_t i = 0; i < text.size();) {
      std::size_t end = std::min(text.size(), i + step);
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
      take(parser.append(std::string_view(text).substr(i, end - i)));
      i = end;
    }
    take(parser.next_turn());
  }
  take(parser.finish());
  choice.end = parser.has_calls() ? ReplyEnd::kToolCalls : ReplyEnd::kLength;
  return choice;
}

void check_writer(const GenerationRequest& request, bool is_messages) {
  const auto make = [&] {
    return is_messages ? make_messages_writer(request, {}) : make_responses_writer(request, {});
  };
  const auto stream = make();
  require_events(stream->begin());
  const ReplyChoice choice = parse_calls(request, 3, stream.get());
  require_events(stream->end_choice(0, choice.end, {}));
  require_events(stream->end({}, {}));
  const ReplyChoice whole = parse_calls(request, std::size_t{1} << 30, nullptr);
  require(whole.text == choice.text && whole.tool_calls.size() == choice.tool_calls.size());
  for (std::size_t i = 0; i < whole.tool_calls.size(); ++i) {
    require(whole.tool_calls[i].name == choice.tool_calls[i].name);
    require(whole.tool_calls[i].arguments == choice.tool_calls[i].arguments);
  }
  require_json(make()->body({whole}, {}, {}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const bool strict : {false, true}) {
    const RequestLimits limits = make_limits(strict);
    for (const bool is_messages : {true, false}) {
      const ParsedRequest parsed =
          is_messages ? parse_messages(body, limits) : parse_responses(body, limits);
      if (const ApiError* error = std::get_if<ApiError>(&parsed)) {
        check_refusal(*error);
        continue;
      }
      const auto& request = std::get<GenerationRequest>(parsed);
      check_request(request, limits);
      check_writer(request, is_messages);
    }
    const ParsedRequest counted = parse_messages(body, limits, true);
    if (const ApiError* error = std::get_if<ApiError>(&counted)) check_refusal(*error);
  }
  return 0;
}
