#pragma once

#include <cstdint>
#include <string>

#include "cardloom/tokenizer/tokenizer.h"

namespace cardloom {

/// Text from tokens that come one by one, in whole characters only.
///
///     IncrementalDecoder decoder(tokenizer);
///     for (id : ids) send(decoder.append(id));
///     send(decoder.finish());  // together: tokenizer.decode(ids)
///
/// The tokenizer must outlive it.
class IncrementalDecoder {
 public:
  explicit IncrementalDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// The text that `id` completes, valid UTF-8; empty while a character's bytes are still coming.
  [[nodiscard]] std::string append(std::int32_t id);

  /// Whether a character's bytes are still coming.
  [[nodiscard]] bool has_pending() const { return !pending_.empty(); }

  /// What is left, an unfinished character as one U+FFFD; the decoder is then as new.
  [[nodiscard]] std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;  ///< up to 3 bytes of a character that is well-formed so far
};

}  // namespace cardloom
