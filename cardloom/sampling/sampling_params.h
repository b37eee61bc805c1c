#pragma once

#include <cstdint>

#include "cardloom/base/result.h"

namespace cardloom {

/// How the next token is chosen from its logits. Order, as Hugging Face applies them: repetition
/// penalty, temperature, top-k, top-p.
struct SamplingParams {
  double temperature = 0;         ///< 0: greedy
  std::int64_t top_k = 0;         ///< keep the k likeliest; 0: all
  double top_p = 1;               ///< keep the smallest set with at least this probability; (0, 1]
  double repetition_penalty = 1;  ///< > 0; 1: none
  std::uint64_t seed = 0;         ///< of the counter-based generator, keyed by (seed, position)
};

/// Returns kInvalidArgument naming the first field out of range, its value and its range.
Status validate(const SamplingParams& params, Location caller = Location::current());

}  // namespace cardloom
