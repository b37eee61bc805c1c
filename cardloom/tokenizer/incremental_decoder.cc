#include "cardloom/tokenizer/incremental_decoder.h"

#include <utility>

#include "cardloom/base/utf8.h"

namespace cardloom {

std::string IncrementalDecoder::append(std::int32_t id) {
  pending_ += tokenizer_->token_bytes(id);
  const std::size_t num_whole = pending_.size() - num_truncated_bytes(pending_);
  std::string text = replace_invalid_utf8(std::string_view(pending_).substr(0, num_whole));
  pending_.erase(0, num_whole);
  return text;
}

std::string IncrementalDecoder::finish() {
  return replace_invalid_utf8(std::exchange(pending_, {}));
}

}  // namespace cardloom
