#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "cardloom/grammar/automaton.h"
#include "cardloom/sampling/token_constraint.h"
#include "cardloom/tokenizer/tokenizer.h"

namespace cardloom::grammar {

/// All ordinary tokens of a tokenizer as one tree of bytes, in the order of a walk: a node's
/// children follow it, so a mask is one pass that jumps over what the grammar does not let in.
class TokenTrie {
 public:
  /// Tokens below `vocab_size` that have bytes, except `left_out`.
  TokenTrie(const Tokenizer& tokenizer, std::int32_t vocab_size,
            const std::vector<std::int32_t>& left_out);

  /// Inserts into `mask` the tokens that lead on from `place`. `frames` comes back as it was but
  /// for num_touched.
  void allow(const Grammar& grammar, const Place& place, Frames& frames, TokenMask& mask) const;

  /// Bytes that are tokens alone: with these any text can be written that needs no others.
  [[nodiscard]] const std::bitset<256>& single_bytes() const { return single_bytes_; }
  [[nodiscard]] std::int32_t max_token_bytes() const { return max_token_bytes_; }
  /// The most `{` and `[` in one token.
  [[nodiscard]] std::int32_t max_opens() const { return max_opens_; }
  [[nodiscard]] std::size_t num_nodes() const { return nodes_.size(); }

 private:
  struct Node {
    std::int32_t end = 0;  ///< index behind the last node below
    std::int32_t token = -1;
    std::uint16_t depth = 0;  ///< bytes above: 0 for a first byte
    std::uint8_t byte = 0;
  };

  std::vector<Node> nodes_;
  std::bitset<256> single_bytes_;
  std::int32_t max_token_bytes_ = 0;
  std::int32_t max_opens_ = 0;
};

}  // namespace cardloom::grammar
