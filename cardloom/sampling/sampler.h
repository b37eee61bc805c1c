#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cardloom/base/location.h"
#include "cardloom/sampling/sampling_params.h"

namespace cardloom {

/// A token and its logit.
struct Candidate {
  float logit = 0;
  std::int32_t id = 0;
};

/// What `candidates_needed` may ask for at the most.
inline constexpr std::int64_t kMaxCandidates = 65;

/// How many of the largest logits (equal ones: the lower ids) are enough to choose as from all of
/// them; 0: it takes all. 1 if greedy; top_k + 1 if top_k is at most 64, since beside the k kept it
/// matters only whether there are more; never enough with a repetition penalty, which moves logits
/// that are not among the largest.
[[nodiscard]] std::int64_t candidates_needed(const SamplingParams& params);

/// The next token's id, chosen from its logits.
///
/// In this order: each token of `previous_tokens` has its logit divided by repetition_penalty if
/// positive, else multiplied (once, however often it was seen); temperature 0 takes the largest
/// logit; otherwise p = softmax(logits / temperature) over the top_k largest, of which the smallest
/// set with probability >= top_p is kept (at least one), and uniform(seed, position) chooses among
/// them in order of falling probability. Equal logits: the lower id comes first everywhere, so
/// top_k = 1 is greedy.
///
/// The result depends on the arguments alone: the same (seed, position, logits) gives the same
/// token alone or in any batch. Probabilities are f64. NaN is never chosen; +Inf beats everything.
///
/// logits           f32 [V]
/// previous_tokens  prompt and generated ids, any order; ids outside [0, V) are passed over
/// position         of the token to be chosen
///
/// Throws kDataLoss if all logits are NaN, kInvalidArgument if there are none or `params` is out of
/// range.
/// Source: transformers 4.44, generation/logits_process.py; unlike there, top_k keeps exactly k of
/// equal logits. Holtzman et al. 2020, arXiv:1904.09751, section 3.1, for top_p.
[[nodiscard]] std::int32_t sample(std::span<const float> logits, const SamplingParams& params,
                                  std::span<const std::int32_t> previous_tokens,
                                  std::uint64_t position, Location caller = Location::current());

/// The same answer from the candidates_needed(params) largest logits or more of them, in any order;
/// all that are no NaN if there are fewer. Throws as sample does; `num_logits` there were in all.
[[nodiscard]] std::int32_t sample_candidates(std::vector<Candidate> candidates,
                                             std::int64_t num_logits, const SamplingParams& params,
                                             std::uint64_t position,
                                             Location caller = Location::current());

}  // namespace cardloom
