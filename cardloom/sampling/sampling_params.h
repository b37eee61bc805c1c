#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cardloom/base/result.h"

namespace cardloom {

/// Added to the logit of a token before anything else; -100 and 100 forbid and force it, nearly.
struct LogitBias {
  std::int32_t id = 0;
  double bias = 0;  ///< [-100, 100]
};

inline constexpr std::size_t kMaxLogitBiases = 1024;
inline constexpr std::int64_t kMaxLogprobs = 20;  ///< as OpenAI's API

/// How the next token is chosen from its logits. Order: constraint, logit bias, repetition,
/// presence and frequency penalty, temperature, top-k, top-p, min-p.
struct SamplingParams {
  double temperature = 0;         ///< 0: greedy
  std::int64_t top_k = 0;         ///< keep the k likeliest; 0: all
  double top_p = 1;               ///< keep the smallest set with at least this probability; (0, 1]
  double min_p = 0;               ///< keep those at least so likely as this times the likeliest
  double repetition_penalty = 1;  ///< > 0; 1: none; of prompt and generated tokens
  double presence_penalty = 0;    ///< [-2, 2], of a generated token, once
  double frequency_penalty = 0;   ///< [-2, 2], of a generated token, as often as it was generated
  std::vector<LogitBias> logit_bias{};
  std::uint64_t seed = 0;          ///< of the counter-based generator, keyed by (seed, position)
  std::int64_t num_logprobs = -1;  ///< of the likeliest tokens to tell beside the chosen; -1: none
};

/// What `logprobs` tells of one token: ln softmax(logits) before any penalty or temperature.
struct TokenLogprob {
  std::int32_t id = 0;
  double logprob = 0;
};
struct TokenLogprobs {
  TokenLogprob chosen{};
  std::vector<TokenLogprob> top{};  ///< num_logprobs of them, likeliest first, lower ids first
};

/// Returns kInvalidArgument naming the first field out of range, its value and its range.
Status validate(const SamplingParams& params, Location caller = Location::current());

}  // namespace cardloom
