// Input: what a model wrote. A first byte that says how long the pieces are in which it came and
// what a client asked for, then its text; byte 0x1E stands for <|assistant|>, which begins another
// turn. Pieces change nothing, and in every API's shape each event and the whole reply are JSON.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/api/api.h"
#include "cardloom/api/tool_call_parser.h"
#include "cardloom/base/utf8.h"
#include "fuzz/reply_text.h"

namespace {

using namespace cardloom::api;  // NOLINT: a program of one file

constexpr char kNextTurn = '\x1E';

/// Of what is one line `data: ` each, JSON or [DONE]; perhaps a name before it, or a comment.
void require_events(std::string_view bytes) {
  for_each_event(bytes, [](std::string_view event) {
    if (event.starts_with("event: ")) {
      event.remove_prefix(std::min(event.find('\n') + 1, event.size()));
    }
    require(event.starts_with("data: ") && event.find('\n') == std::string_view::npos);
    if (event != "data: [DONE]") require_json(event.substr(6));
  });
}

ToolCallParser make_parser(bool parallel) {
  return ToolCallParser({"get", "get_weather", "\xE5\xA4\xA9"}, parallel, make_id_source("seed"));
}

/// What a client makes of the pieces.
void add(const ToolCallParser::Piece& piece, ReplyChoice& choice) {
  choice.text += piece.text;
  for (const ToolCallDelta& delta : piece.calls) {
    if (!delta.id.empty()) choice.tool_calls.push_back({delta.id, delta.name, {}});
    require(choice.tool_calls.size() == static_cast<std::size_t>(delta.index) + 1);
    require(delta.id.empty() == delta.name.empty());
    choice.tool_calls.back().arguments += delta.arguments;
  }
}

using Take = void (*)(const ToolCallParser::Piece& piece, ReplyChoice& choice, ReplyWriter& writer);

/// Feeds `text` in pieces of whole characters of at least `step` bytes.
ReplyChoice run(std::string_view text, std::size_t step, bool parallel, ReplyWriter* writer) {
  ToolCallParser parser = make_parser(parallel);
  ReplyChoice choice;
  const auto take = [&](const ToolCallParser::Piece& piece) {
    require(cardloom::is_valid_utf8(piece.text));
    add(piece, choice);
    if (writer == nullptr || (piece.text.empty() && piece.calls.empty())) return;
    ReplyDelta delta;
    delta.text = piece.text;
    delta.tool_calls = piece.calls;
    require_events(writer->delta(delta, {}));
  };
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == kNextTurn) {
      take(parser.next_turn());
      ++i;
      continue;
    }
    const std::size_t turn = std::min(text.find(kNextTurn, i), text.size());
    std::size_t end = i + std::min(turn - i, step);
    while (end < turn && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
    take(parser.append(text.substr(i, end - i)));
    i = end;
  }
  take(parser.finish());
  require(parser.has_calls() == !choice.tool_calls.empty());
  require(parallel || choice.tool_calls.size() <= 1);
  choice.end = parser.has_calls() ? ReplyEnd::kToolCalls : ReplyEnd::kStop;
  return choice;
}

void require_same(const ReplyChoice& one, const ReplyChoice& other) {
  require(one.text == other.text && one.tool_calls.size() == other.tool_calls.size());
  for (std::size_t i = 0; i < one.tool_calls.size(); ++i) {
    require(one.tool_calls[i].id == other.tool_calls[i].id);
    require(one.tool_calls[i].name == other.tool_calls[i].name);
    require(one.tool_calls[i].arguments == other.tool_calls[i].arguments);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t step = data[0] % 16U + 1U;
  const bool parallel = (data[0] & 0x80U) == 0;
  GenerationRequest request;
  request.stream = true;
  request.include_usage = (data[0] & 0x40U) != 0;
  request.continuous_usage = request.include_usage;
  const std::string text = cardloom::replace_invalid_utf8(
      std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  const ReplyChoice whole = run(text, text.size() + 1, parallel, nullptr);
  for (const auto make : {make_chat_completion_writer, make_completion_writer,
                          make_responses_writer, make_messages_writer}) {
    const std::unique_ptr<ReplyWriter> stream = make(request, {});
    require_events(stream->begin());
    const ReplyChoice choice = run(text, step, parallel, stream.get());
    require_same(choice, whole);
    require_events(stream->end_choice(0, choice.end, whole.text));
    require_events(stream->end({}, {}));
    require_json(make(request, {})->body({whole}, {}, {}));
  }
  return 0;
}
