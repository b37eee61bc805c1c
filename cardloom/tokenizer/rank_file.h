#pragma once

#include <string_view>

#include "cardloom/base/result.h"
#include "cardloom/tokenizer/vocabulary.h"

namespace cardloom {

/// The tokens of a tiktoken rank file: lines `base64(bytes) SPACE rank`, ranks 0, 1, 2 ... in
/// order.
///
/// `what` names the text in errors ("tokenizer.model"). Returns kDataLoss, naming the first wrong
/// line by its number, if a line has another form, the base64 is not canonical, a rank is not its
/// line's, a token is empty, longer than 4096 bytes or there twice, or one of the 256 single bytes
/// is missing (then some text could not be tokenized); kResourceExhausted beyond 4 Mi tokens.
Result<Vocabulary> parse_rank_file(std::string_view text, std::string_view what);

}  // namespace cardloom
