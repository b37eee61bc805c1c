#pragma once

#include <cstddef>
#include <string_view>

namespace cardloom {

/// Where the piece of `text` that begins at byte `begin` ends; pieces are what BPE merges within.
///
///     for (std::size_t begin = 0; begin < text.size();) {
///       const std::size_t end = piece_end(text, begin);
///       use(text.substr(begin, end - begin));
///       begin = end;
///     }
///
/// Needs begin < text.size(), a border of pieces; begin < result <= text.size(). The first match of
/// GLM-4's pattern (cl100k's), which matches at every place of every text:
///
///     (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3} |
///      ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
///
/// Written out by hand: time is linear in the text, whatever it holds. Bytes that are not UTF-8
/// count as U+FFFD would (neither letter, number nor space), one for each step of
/// next_code_point(), and stay in their piece as they are.
/// Source: glm-4v-9b, tokenization_chatglm.py, `pat_str`.
[[nodiscard]] std::size_t piece_end(std::string_view text, std::size_t begin);

}  // namespace cardloom
