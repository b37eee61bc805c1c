#include "cardloom/api/tool_call_parser.h"

#include <algorithm>
#include <utility>

namespace cardloom::api {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/// The `function` object of a checked tool; null for GLM-4's own kinds, which have none.
const json::object* function_of(const json::value& tool) {
  const json::object* object = tool.if_object();
  const json::value* function = object == nullptr ? nullptr : object->if_contains("function");
  return function == nullptr ? nullptr : function->if_object();
}

std::string name_of(const json::object& function) {
  const json::value* name = function.if_contains("name");
  if (name == nullptr || !name->is_string()) return {};
  return std::string(std::string_view(name->get_string()));
}

/// splitmix64: one 64-bit number after another, well mixed.
std::uint64_t next_number(std::uint64_t& state) {
  std::uint64_t z = state += 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

/// The delta of call `index`, one of each in a piece.
ToolCallDelta& delta_of(std::int64_t index, ToolCallParser::Piece& piece) {
  if (piece.calls.empty() || piece.calls.back().index != index) {
    ToolCallDelta delta;
    delta.index = index;
    piece.calls.push_back(std::move(delta));
  }
  return piece.calls.back();
}

}  // namespace

IdSource make_id_source(std::string_view seed) {
  std::uint64_t state = 0xcbf29ce484222325U;  // FNV-1a
  for (const char c : seed) {
    state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  return [state]() mutable {
    constexpr std::string_view kLetters =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string id;
    for (int i = 0; i < 24; ++i) id += kLetters[next_number(state) % kLetters.size()];
    return id;
  };
}

std::vector<ToolGrammar> tool_grammars(const json::array& tools, const ToolChoice& choice) {
  std::vector<ToolGrammar> grammars;
  const bool any = choice.kind == ToolChoice::Kind::kRequired;
  if (!any && choice.kind != ToolChoice::Kind::kNamed) return grammars;
  for (const json::value& tool : tools) {
    const json::object* function = function_of(tool);
    if (function == nullptr) continue;
    ToolGrammar grammar;
    grammar.name = name_of(*function);
    if (!any && grammar.name != choice.name) continue;
    const json::value* parameters = function->if_contains("parameters");
    if (parameters != nullptr && !parameters->is_null()) {
      grammar.parameters = *parameters;
    } else {
      grammar.parameters = {{"type", "object"}, {"additionalProperties", false}};
    }
    grammars.push_back(std::move(grammar));
  }
  return grammars;
}

std::vector<std::string> callable_tools(const json::array& tools, const ToolChoice& choice) {
  if (choice.kind == ToolChoice::Kind::kNone) return {};
  std::vector<std::string> names;
  for (const json::value& tool : tools) {
    const json::object* function = function_of(tool);
    if (function == nullptr) continue;
    std::string name = name_of(*function);
    if (choice.kind != ToolChoice::Kind::kNamed || name == choice.name) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

ToolCallParser::ToolCallParser(std::vector<std::string> tool_names, bool parallel, IdSource ids)
    : tool_names_(std::move(tool_names)), parallel_(parallel), ids_(std::move(ids)) {}

ToolCallParser::Piece ToolCallParser::append(std::string_view text) {
  Piece piece;
  while (!text.empty()) {
    if (state_ == State::kText || state_ == State::kBroken) {  // to the end of the turn
      if (state_ == State::kText) {
        show(text, piece);
      } else {
        delta_of(num_calls_ - 1, piece).arguments += text;
      }
      break;
    }
    take(text.front(), piece);
    text.remove_prefix(1);
  }
  return piece;
}

ToolCallParser::Piece ToolCallParser::next_turn() {
  Piece piece;
  end_turn(piece);
  return piece;
}

ToolCallParser::Piece ToolCallParser::finish() {
  Piece piece;
  end_turn(piece);
  return piece;
}

void ToolCallParser::end_turn(Piece& piece) {
  if (state_ == State::kDropped) return;
  if (state_ == State::kArguments || state_ == State::kBroken) end_call();
  if (state_ == State::kDropped) return;
  show_held(piece);
  state_ = State::kLead;
  at_turn_ = true;
  new_turn_ = has_text_;
}

void ToolCallParser::take(char c, Piece& piece) {
  switch (state_) {
    case State::kLead:
    case State::kName:
    case State::kAfterName:
    case State::kBeforeArguments:
      take_name(c, piece);
      break;
    case State::kArguments:
      take_argument(c, piece);
      break;
    case State::kText:
    case State::kBroken:
    case State::kDropped:
      break;
  }
}

void ToolCallParser::take_name(char c, Piece& piece) {
  if (state_ == State::kBeforeArguments && c == '{') {
    begin_call(piece);
    take_argument(c, piece);
    return;
  }
  held_ += c;
  if (state_ == State::kLead) {
    if (is_blank(c) && !tool_names_.empty()) return;
    state_ = State::kName;
  }
  if (state_ == State::kName && !is_blank(c)) {
    name_ += c;
    if (begins_name(name_)) return;
  } else if (is_blank(c) && is_name(name_)) {
    if (state_ == State::kName) state_ = State::kAfterName;
    if (c == '\n') state_ = State::kBeforeArguments;
    return;
  }
  state_ = State::kText;
  show_held(piece);
}

void ToolCallParser::take_argument(char c, Piece& piece) {
  delta_of(num_calls_ - 1, piece).arguments += c;
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
    return;
  }
  if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    open_brackets_ += c;
  } else if (c == '}' || c == ']') {
    if (open_brackets_.back() != (c == '}' ? '{' : '[')) {
      state_ = State::kBroken;
      return;
    }
    open_brackets_.pop_back();
    if (open_brackets_.empty()) end_call();
  }
}

void ToolCallParser::begin_call(Piece& piece) {
  ToolCallDelta& delta = delta_of(num_calls_++, piece);
  delta.id = "call_" + ids_();
  delta.name = std::exchange(name_, {});
  held_.clear();
  open_brackets_.clear();
  in_string_ = escaped_ = false;
  state_ = State::kArguments;
}

void ToolCallParser::end_call() {
  state_ = parallel_ ? State::kLead : State::kDropped;
  at_turn_ = false;
}

void ToolCallParser::show(std::string_view text, Piece& piece) {
  if (text.empty()) return;
  if (std::exchange(new_turn_, false)) piece.text += '\n';
  piece.text += text;
  has_text_ = true;
}

void ToolCallParser::show_held(Piece& piece) {
  std::string_view text = held_;
  if (!at_turn_) {  // behind a call, blanks say nothing
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  } else if (!text.empty() && text.front() == '\n') {  // the empty first line: text follows
    text.remove_prefix(1);
  }
  show(text, piece);
  held_.clear();
  name_.clear();
}

bool ToolCallParser::is_name(std::string_view text) const {
  return std::any_of(tool_names_.begin(), tool_names_.end(),
                     [text](const std::string& name) { return name == text; });
}

bool ToolCallParser::begins_name(std::string_view text) const {
  return std::any_of(tool_names_.begin(), tool_names_.end(), [text](const std::string& name) {
    return std::string_view(name).substr(0, text.size()) == text;
  });
}

}  // namespace cardloom::api
