#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/tokenizer/incremental_decoder.h"

namespace cardloom {

struct OutputTextOptions {
  std::vector<std::string> stop{};  ///< the text ends before the first of these that is complete
  bool include_stop = false;        ///< the text ends behind it instead
  bool skip_special_tokens = true;  ///< else they are text by their spelling
  /// Newlines at the beginning are no part of the text: GLM-4V begins its answers with one.
  bool trim_leading_newline = false;
};

/// What can be shown of a sequence now.
struct OutputPiece {
  std::string text{};           ///< whole characters
  std::int64_t num_tokens = 0;  ///< the next so many tokens are complete with this piece
  bool stopped = false;         ///< by `stop`: nothing comes after this piece
  std::string stop{};
};

/// Text as people see it, from tokens that come one by one.
///
///     OutputText output(tokenizer, {.stop = {"\n\n"}});
///     for (id : ids) if (send(output.append(id)); stopped) break;
///     send(output.finish());
///
/// The pieces together are the text of all tokens up to the first place where a stop string is
/// complete; of those complete at the same byte the first in the list counts. That does not depend
/// on how tokens cut the text. What may be the beginning of a stop string is held back until it is
/// known to be none, and nothing else is, except bytes of an unfinished character.
///
/// Each token is told in the piece that shows the last of its text (what it adds beyond the bytes
/// of characters that are not finished yet), never before an earlier one; tokens behind the end of
/// a stopped text are not told at all. The tokenizer must outlive it.
class OutputText {
 public:
  /// Throws kInvalidArgument if a stop string is empty or no UTF-8.
  OutputText(const Tokenizer& tokenizer, OutputTextOptions options,
             Location caller = Location::current());
  OutputText(const OutputText&) = delete;  // matchers look at its own strings
  OutputText& operator=(const OutputText&) = delete;

  /// What `id` allows to be shown. Nothing more if the text has stopped.
  [[nodiscard]] OutputPiece append(std::int32_t id);

  /// What is left when no more tokens come: an unfinished character is one U+FFFD. May still stop.
  [[nodiscard]] OutputPiece finish();

 private:
  /// A stop string and how much of it the text ends with.
  /// Source: Knuth, Morris and Pratt 1977, "Fast pattern matching in strings".
  struct Matcher {
    const std::string* stop;  ///< one of stops_
    /// Of each prefix: the longest shorter one that is also its end, in bytes.
    std::vector<std::size_t> borders;
    std::size_t matched = 0;

    explicit Matcher(const std::string& text);
    /// Whether the text ends with the whole stop string, after one more byte.
    bool completes(char byte);
  };

  /// Where a token's text lies, in bytes of the whole. Both ascend from token to token.
  struct TokenText {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool is_open = false;  ///< ends where a character will end that is not complete yet
  };

  [[nodiscard]] std::size_t num_known() const { return num_shown_ + held_.size(); }
  std::string decode(std::int32_t id);
  void add(const std::string& text, bool is_token, OutputPiece& piece);
  void record_token(std::string_view text, bool is_token);
  void show(std::size_t end, OutputPiece& piece);
  void stop_with(const Matcher& matcher, std::size_t match_end, OutputPiece& piece);
  [[nodiscard]] OutputPiece after_stop() const;

  const Tokenizer* tokenizer_;
  const std::vector<std::string> stops_;  ///< behind the matchers' views
  const bool include_stop_;
  const bool skip_special_tokens_;
  bool trims_newlines_;  ///< nothing is known of the text yet, and newlines are to be left out
  IncrementalDecoder decoder_;
  std::vector<Matcher> matchers_;
  std::string held_;  ///< known, but not shown
  std::size_t num_shown_ = 0;
  std::vector<TokenText> tokens_;      ///< not told yet
  const std::string* stop_ = nullptr;  ///< what the text stopped at
};

}  // namespace cardloom
