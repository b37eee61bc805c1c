#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cardloom {

/// At most `max_tokens` that may follow `tokens`: what followed the last earlier place where its
/// last three tokens stood, else its last two; empty if there is none. Answers repeat names, code
/// and quotations of the prompt, so this is right often enough, and it costs no second model.
/// Source: Saxena 2023, "Prompt Lookup Decoding"; transformers 4.44, prompt_lookup_num_tokens.
[[nodiscard]] std::vector<std::int32_t> propose_by_lookup(std::span<const std::int32_t> tokens,
                                                          std::int64_t max_tokens);

}  // namespace cardloom
