#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cardloom/tokenizer/vocabulary.h"

namespace cardloom {

/// Appends to `ids` the tokens of one piece of text (see pretokenizer.h).
///
/// A piece that is a token is that token. Else it begins as single bytes, and of all neighbours
/// whose bytes together are a token, those with the lowest id are merged, the leftmost on ties,
/// until none is left. A token's id is its rank.
///
/// `vocabulary` holds all 256 single bytes. O(n log n) in the bytes of the piece, which number
/// less than 2^31; throws kResourceExhausted beyond.
/// Source: tiktoken, src/lib.rs, `byte_pair_encode`.
void append_bpe(const Vocabulary& vocabulary, std::string_view piece,
                std::vector<std::int32_t>& ids);

}  // namespace cardloom
