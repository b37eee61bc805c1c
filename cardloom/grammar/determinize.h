#pragma once

#include "cardloom/grammar/automaton.h"
#include "cardloom/grammar/byte_nfa.h"

namespace cardloom::grammar {

/// The deterministic automaton of rule 0 of `nfa`. Every text that it begins can be finished,
/// within the depth and with bytes of the alphabet.
///
/// Throws kInvalidArgument, with the origin of the rule that is to blame, if there is no text at
/// all; kResourceExhausted beyond max_states, max_depth or max_steps. `what` begins the message.
[[nodiscard]] Grammar determinize(const ByteNfa& nfa, std::string_view what);

/// How deep below each state of `nfa` calls must go to come to the end of its rule; kNoHeight if
/// there is no end.
inline constexpr std::int32_t kNoHeight = std::numeric_limits<std::int32_t>::max();
[[nodiscard]] std::vector<std::int32_t> heights(const ByteNfa& nfa);

}  // namespace cardloom::grammar
