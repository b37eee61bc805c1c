#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/api/generation_request.h"
#include "cardloom/api/reply_writer.h"

namespace cardloom::api {

/// Gives the 24 characters behind "call_", others at every call.
using IdSource = std::function<std::string()>;

/// An endless row of 24 letters and digits each that depends on `seed` only (a reply's id).
[[nodiscard]] IdSource make_id_source(std::string_view seed);

/// One tool as a grammar sees it: the model writes `name`, a newline and a JSON object by
/// `parameters`.
struct ToolGrammar {
  std::string name;
  json::value parameters{};
};

/// The calls that `choice` leaves the model, in the order of `tools` (OpenAI's list, checked): all
/// for kRequired, one for kNamed, none for kAuto and kNone, which force nothing. A function without
/// parameters takes the empty object only.
[[nodiscard]] std::vector<ToolGrammar> tool_grammars(const json::array& tools,
                                                     const ToolChoice& choice);

/// The names of `tools` (OpenAI's list, checked) that the model may call by `choice`.
[[nodiscard]] std::vector<std::string> callable_tools(const json::array& tools,
                                                      const ToolChoice& choice);

/// Parts GLM-4's text from its tool calls while both are being written.
///
/// The first line of an assistant turn says who is addressed: it is empty before plain text, and a
/// tool's name before the JSON object of its arguments. Such a turn ends with <|observation|>;
/// <|assistant|> begins another, so that several calls follow one another. As the official server
/// does, blanks around the name are passed over.
///
/// What may still become a call is held back, nothing else is. The empty first line is dropped. A
/// call ends where its object does; behind it, blanks are dropped and another call may follow,
/// anything else is text. Arguments whose brackets do not match have no end: they are handed on as
/// they are, up to the end of the turn. Texts of several turns are joined by a newline. Where the
/// text is cut into pieces does not matter.
/// Source: GLM-4, basic_demo/openai_api_server.py, `process_response`.
class ToolCallParser {
 public:
  /// Of both at once, what came first is not told.
  struct Piece {
    std::string text;
    std::vector<ToolCallDelta> calls{};
  };

  /// `tool_names`: see callable_tools(); without any, everything is text.
  /// `parallel`: else what follows the first call is dropped.
  ToolCallParser(std::vector<std::string> tool_names, bool parallel, IdSource ids);

  /// What became certain by `text`, which is generated text without special tokens.
  [[nodiscard]] Piece append(std::string_view text);
  /// The special token <|assistant|> was generated.
  [[nodiscard]] Piece next_turn();
  /// The reply has ended.
  [[nodiscard]] Piece finish();

  [[nodiscard]] bool has_calls() const { return num_calls_ > 0; }
  /// Nothing that may follow would be shown: the one call that is allowed is complete.
  [[nodiscard]] bool is_complete() const { return state_ == State::kDropped; }

 private:
  enum class State {
    kLead,       ///< blanks before the name
    kName,       ///< inside what may be a name
    kAfterName,  ///< blanks behind a name, before the newline
    kArguments,  ///< of an open call
    kBroken,     ///< arguments without an end
    kBeforeArguments,
    kText,
    kDropped,
  };

  void take(char c, Piece& piece);
  void take_name(char c, Piece& piece);
  void take_argument(char c, Piece& piece);
  void show(std::string_view text, Piece& piece);
  void show_held(Piece& piece);
  void begin_call(Piece& piece);
  void end_call();
  void end_turn(Piece& piece);
  [[nodiscard]] bool is_name(std::string_view text) const;
  [[nodiscard]] bool begins_name(std::string_view text) const;

  std::vector<std::string> tool_names_;
  bool parallel_;
  IdSource ids_;

  State state_ = State::kLead;
  std::string held_;       ///< of this turn, neither shown nor dropped yet
  std::string name_;       ///< the part of `held_` that may be a name
  bool at_turn_ = true;    ///< `held_` begins at the turn's first byte
  bool has_text_ = false;  ///< text was shown
  bool new_turn_ = false;  ///< the next text needs a newline before it
  std::int64_t num_calls_ = 0;

  std::string open_brackets_;  ///< of the open call's arguments: { and [
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace cardloom::api
