#include "cardloom/engine/output_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cardloom/base/error.h"
#include "cardloom/base/utf8.h"

namespace cardloom {

OutputText::Matcher::Matcher(const std::string& text) : stop(&text), borders(text.size()) {
  std::size_t border = 0;
  for (std::size_t size = 1; size < text.size(); ++size) {
    while (border > 0 && text[size] != text[border]) border = borders[border - 1];
    if (text[size] == text[border]) ++border;
    borders[size] = border;
  }
}

bool OutputText::Matcher::completes(char byte) {
  while (matched > 0 && (*stop)[matched] != byte) matched = borders[matched - 1];
  if ((*stop)[matched] == byte) ++matched;
  return matched == stop->size();
}

OutputText::OutputText(const Tokenizer& tokenizer, OutputTextOptions options, Location caller)
    : tokenizer_(&tokenizer),
      stops_(std::move(options.stop)),
      include_stop_(options.include_stop),
      skip_special_tokens_(options.skip_special_tokens),
      trims_newlines_(options.trim_leading_newline),
      decoder_(tokenizer) {
  for (const std::string& stop : stops_) {
    if (stop.empty() || !is_valid_utf8(stop)) {
      throw_error(ErrorCode::kInvalidArgument,
                  fmt::format("stop string {} of {} is {}", matchers_.size() + 1, stops_.size(),
                              stop.empty() ? "empty" : "no UTF-8"),
                  {}, "leave it out", caller);
    }
    matchers_.emplace_back(stop);
  }
}

OutputPiece OutputText::append(std::int32_t id) {
  if (stop_ != nullptr) return after_stop();
  OutputPiece piece;
  add(decode(id), true, piece);
  return piece;
}

OutputPiece OutputText::finish() {
  if (stop_ != nullptr) return after_stop();
  OutputPiece piece;
  add(decoder_.finish(), false, piece);
  if (stop_ == nullptr) show(num_known(), piece);
  return piece;
}

OutputPiece OutputText::after_stop() const { return {.stopped = true, .stop = *stop_}; }

std::string OutputText::decode(std::int32_t id) {
  std::string text;
  if (!skip_special_tokens_ && tokenizer_->is_special(id)) {
    text = decoder_.finish();
    text += tokenizer_->special_spelling(id);
  } else {
    text = decoder_.append(id);
  }
  if (trims_newlines_) {
    text.erase(0, text.find_first_not_of('\n'));  // npos: all of it
    trims_newlines_ = text.empty();
  }
  return text;
}

void OutputText::add(const std::string& text, bool is_token, OutputPiece& piece) {
  const std::size_t begin = num_known();
  record_token(text, is_token);
  held_ += text;
  for (std::size_t index = 0; index < text.size(); ++index) {
    const Matcher* complete = nullptr;
    for (Matcher& matcher : matchers_) {
      if (matcher.completes(text[index]) && complete == nullptr) complete = &matcher;
    }
    if (complete != nullptr) return stop_with(*complete, begin + index + 1, piece);
  }
  std::size_t possible = 0;  // bytes at the end that may begin a stop string
  for (const Matcher& matcher : matchers_) possible = std::max(possible, matcher.matched);
  show(num_known() - possible, piece);
}

/// A token of `text`, which is about to be known; or only the end of a character.
void OutputText::record_token(std::string_view text, bool is_token) {
  if (!text.empty()) {
    // Bytes that waited are the first character, be it U+FFFD.
    const std::size_t character_end = num_known() + next_code_point(text, 0).num_bytes;
    for (TokenText& token : tokens_) {
      if (token.is_open) token = {token.begin, character_end};
    }
  }
  if (is_token) tokens_.push_back({num_known(), num_known() + text.size(), decoder_.has_pending()});
}

void OutputText::show(std::size_t end, OutputPiece& piece) {
  const std::size_t size = end - num_shown_;
  piece.text.append(held_, 0, size);
  held_.erase(0, size);
  num_shown_ = end;
  const auto first_waiting =
      std::find_if(tokens_.begin(), tokens_.end(),
                   [end](const TokenText& token) { return token.is_open || token.end > end; });
  piece.num_tokens += first_waiting - tokens_.begin();
  tokens_.erase(tokens_.begin(), first_waiting);
}

void OutputText::stop_with(const Matcher& matcher, std::size_t match_end, OutputPiece& piece) {
  stop_ = matcher.stop;
  piece.stopped = true;
  piece.stop = *stop_;
  const std::size_t end = include_stop_ ? match_end : match_end - stop_->size();
  show(end, piece);
  // Of the token that the end cuts, something is shown.
  piece.num_tokens += std::count_if(tokens_.begin(), tokens_.end(),
                                    [end](const TokenText& token) { return token.begin < end; });
  tokens_.clear();
  held_.clear();
}

}  // namespace cardloom
