#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cardloom/base/location.h"
#include "cardloom/sampling/sampling_params.h"
#include "cardloom/sampling/token_constraint.h"

namespace cardloom {

/// A token and its logit.
struct Candidate {
  float logit = 0;
  std::int32_t id = 0;
};

/// What `candidates_needed` may ask for at the most.
inline constexpr std::int64_t kMaxCandidates = 65;

/// What a sequence is when its next token is chosen. Looked at during the call only.
struct SamplingContext {
  std::span<const std::int32_t> tokens{};  ///< prompt, then generated
  std::int64_t num_prompt_tokens = 0;      ///< of `tokens`
  const TokenMask* allowed = nullptr;      ///< no other id can be chosen; none: all can
  /// Ids that cannot be chosen: the stop ids before min_tokens. Any order; others than ids of the
  /// vocabulary are passed over.
  std::span<const std::int32_t> forbidden_ids{};
};

struct SampledToken {
  std::int32_t id = 0;
  std::optional<TokenLogprobs> logprobs{};  ///< if num_logprobs >= 0
};

/// How many of the largest logits (equal ones: the lower ids) are enough to choose as from all of
/// them; 0: it takes all. 1 if greedy; top_k + 1 if top_k is set, since beside the k kept it
/// matters only whether there are more; `num_forbidden` more for ids that cannot be chosen. Never
/// enough, if that makes more than kMaxCandidates; with a constraint, a bias or a penalty, which
/// move logits that are not among the largest; or for logprobs, which need the sum over all.
[[nodiscard]] std::int64_t candidates_needed(const SamplingParams& params,
                                             bool has_constraint = false,
                                             std::int64_t num_forbidden = 0);

/// The next token, chosen from its logits.
///
/// In this order, an addition or subtraction being rounded to f32 once:
/// 1. Ids outside `context.allowed` and those in forbidden_ids are left out.
/// 2. logit += bias, entry by entry; ids outside the vocabulary are passed over.
/// 3. The logit of each token of prompt and generated ones is divided by repetition_penalty if
///    positive, else multiplied (once, however often the token was seen).
/// 4. logit -= presence_penalty + frequency_penalty * n of a token that was generated n > 0 times.
/// 5. Temperature 0 takes the largest logit. Otherwise p = softmax(logits / temperature), and those
///    are kept that pass each of: the top_k largest; the smallest set of these with probability
///    >= top_p among them (at least one); of these, those with p >= min_p * the largest p.
/// 6. uniform(seed, position) chooses among them in order of falling probability.
/// Equal logits: the lower id comes first everywhere, so top_k = 1 is greedy.
///
/// The result depends on the arguments alone: the same (seed, position, logits) gives the same
/// token alone or in any batch. Probabilities are f64. NaN is never chosen; +Inf beats everything.
///
/// logits    f32 [V]
/// position  of the token to be chosen
///
/// Throws kDataLoss if all logits that could be chosen are NaN, kInvalidArgument if there are none,
/// if forbidden_ids leave none or if `params` is out of range, kInternal if the constraint allows
/// none.
/// Source: transformers 4.44, generation/logits_process.py; unlike there, top_k keeps exactly k of
/// equal logits. Holtzman et al. 2020, arXiv:1904.09751, section 3.1, for top_p; Nguyen et al.
/// 2024, arXiv:2407.01082, section 3, for min_p, here after top_k and top_p as in transformers and
/// vLLM 0.6; presence and frequency penalty as vLLM 0.6 and OpenAI's API define them.
[[nodiscard]] SampledToken sample(std::span<const float> logits, const SamplingParams& params,
                                  const SamplingContext& context, std::uint64_t position,
                                  Location caller = Location::current());

/// The same answer from the candidates_needed(params, false, forbidden ids) largest logits or more
/// of them, in any order; all that are no NaN if there are fewer. `num_logits` there were in all.
///
/// Throws as sample does, and kInternal if candidates are not enough for `params` or `context`.
[[nodiscard]] SampledToken sample_candidates(std::vector<Candidate> candidates,
                                             std::int64_t num_logits, const SamplingParams& params,
                                             const SamplingContext& context, std::uint64_t position,
                                             Location caller = Location::current());

/// ln softmax(logits) of the token `chosen` and of the `num_top` likeliest (fewer if there are not
/// so many), in f64 with sums in order of id, so the same wherever it is computed. NaN counts as
/// probability 0 and is never among the likeliest; probability 0 gives -Inf.
///
/// logits  f32 [V]; chosen in [0, V); num_top >= 0
///
/// Throws kInvalidArgument if `chosen` is no id.
[[nodiscard]] TokenLogprobs logprobs_of(std::span<const float> logits, std::int32_t chosen,
                                        std::int64_t num_top,
                                        Location caller = Location::current());

}  // namespace cardloom
