#include "cardloom/sampling/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cardloom/sampling/philox.h"

namespace cardloom {
namespace {

/// A total order (NaN is no candidate), so that every sort of the same candidates is the same.
bool comes_first(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// Candidates in order of falling logit, sorted only as far as somebody looks: most draws need a
/// few dozen of 151,552.
class Ranking {
 public:
  explicit Ranking(std::vector<Candidate> candidates) : candidates_(std::move(candidates)) {}

  [[nodiscard]] std::size_t size() const { return candidates_.size(); }

  const Candidate& at(std::size_t rank) {
    while (rank >= num_sorted_) sort_more();
    return candidates_[rank];
  }

  /// Forgets all but the first `count`.
  void keep(std::size_t count) {
    if (count >= size()) return;
    std::nth_element(candidates_.begin(), iterator(count), candidates_.end(), comes_first);
    candidates_.resize(count);
  }

 private:
  std::vector<Candidate>::iterator iterator(std::size_t rank) {
    return candidates_.begin() + static_cast<std::ptrdiff_t>(rank);
  }

  void sort_more() {
    constexpr std::size_t kFirst = 64;
    constexpr std::size_t kGrowth = 8;
    const std::size_t wanted = std::min(size(), std::max(kFirst, num_sorted_ * kGrowth));
    if (wanted < size()) {
      std::nth_element(iterator(num_sorted_), iterator(wanted), candidates_.end(), comes_first);
    }
    std::sort(iterator(num_sorted_), iterator(wanted), comes_first);
    num_sorted_ = wanted;
  }

  std::vector<Candidate> candidates_;
  std::size_t num_sorted_ = 0;
};

/// Whether something moves single logits before they are compared.
bool moves_logits(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 ||
         params.frequency_penalty != 0 || !params.logit_bias.empty();
}

/// The logit of `id`, or nullptr if there is none.
float* logit_of(std::span<float> logits, std::int32_t id) {
  return id >= 0 && static_cast<std::size_t>(id) < logits.size()
             ? &logits[static_cast<std::size_t>(id)]
             : nullptr;
}

void penalise_repetition(std::span<float> logits, double repetition_penalty,
                         std::span<const std::int32_t> tokens) {
  const auto penalty = static_cast<float>(repetition_penalty);  // f32 arithmetic, as torch's
  std::vector<bool> seen(logits.size());
  for (const std::int32_t id : tokens) {
    float* const logit = logit_of(logits, id);
    if (logit == nullptr || seen[static_cast<std::size_t>(id)]) continue;
    seen[static_cast<std::size_t>(id)] = true;
    *logit = *logit < 0 ? *logit * penalty : *logit / penalty;
  }
}

void penalise_generated(std::span<float> logits, const SamplingParams& params,
                        std::span<const std::int32_t> generated) {
  std::vector<std::int32_t> sorted(generated.begin(), generated.end());
  std::sort(sorted.begin(), sorted.end());
  for (auto first = sorted.begin(); first != sorted.end();) {
    const auto last = std::upper_bound(first, sorted.end(), *first);
    if (float* const logit = logit_of(logits, *first)) {
      const auto times = static_cast<double>(last - first);
      *logit =
          static_cast<float>(*logit - (params.presence_penalty + params.frequency_penalty * times));
    }
    first = last;
  }
}

std::vector<float> moved(std::span<const float> logits, const SamplingParams& params,
                         const SamplingContext& context) {
  std::vector<float> result(logits.begin(), logits.end());
  for (const LogitBias& entry : params.logit_bias) {
    if (float* const logit = logit_of(result, entry.id)) {
      *logit = static_cast<float>(*logit + entry.bias);
    }
  }
  if (params.repetition_penalty != 1) {
    penalise_repetition(result, params.repetition_penalty, context.tokens);
  }
  if (params.presence_penalty != 0 || params.frequency_penalty != 0) {
    const auto num_tokens = static_cast<std::int64_t>(context.tokens.size());
    const std::int64_t num_prompt =
        std::clamp<std::int64_t>(context.num_prompt_tokens, 0, num_tokens);
    penalise_generated(result, params,
                       context.tokens.subspan(static_cast<std::size_t>(num_prompt)));
  }
  return result;
}

/// All tokens, or those of a mask, in order of id.
std::vector<Candidate> candidates_of(std::span<const float> logits, const TokenMask* allowed) {
  std::vector<Candidate> candidates;
  if (allowed == nullptr) {
    candidates.resize(logits.size());
    for (std::size_t id = 0; id < logits.size(); ++id) {
      candidates[id] = {logits[id], static_cast<std::int32_t>(id)};
    }
    return candidates;
  }
  const std::vector<std::uint64_t>& words = allowed->words();
  for (std::size_t word = 0; word < words.size(); ++word) {
    for (std::uint64_t bits = words[word]; bits != 0; bits &= bits - 1) {
      const std::size_t id = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
      if (id >= logits.size()) return candidates;  // a mask may be made for a padded vocabulary
      candidates.push_back({logits[id], static_cast<std::int32_t>(id)});
    }
  }
  return candidates;
}

/// Probabilities of candidates up to a common factor: exp((logit - largest) / temperature).
struct Softmax {
  float largest = 0;
  double temperature = 1;

  [[nodiscard]] double weight(float logit) const {
    if (logit == largest) return 1;  // also Inf among Inf, where the difference would be NaN
    return std::exp((static_cast<double>(logit) - largest) / temperature);
  }
};

/// The sum of the kept candidates' weights; shrinks `num_kept` to the smallest set that holds
/// `top_p` of `total`.
double keep_top_p(Ranking& ranking, const Softmax& softmax, double top_p, double total,
                  std::size_t& num_kept) {
  double kept = 0;
  for (std::size_t rank = 0; rank < num_kept; ++rank) {
    kept += softmax.weight(ranking.at(rank).logit);
    if (kept >= top_p * total) num_kept = rank + 1;
  }
  return kept;
}

/// The same for candidates with a weight of at least `min_p`, the largest being 1.
double keep_min_p(Ranking& ranking, const Softmax& softmax, double min_p, std::size_t& num_kept) {
  double kept = 0;
  for (std::size_t rank = 0; rank < num_kept; ++rank) {
    const double weight = softmax.weight(ranking.at(rank).logit);
    if (weight < min_p)
      num_kept = rank;
    else
      kept += weight;
  }
  return kept;
}

std::int32_t draw(std::vector<Candidate> candidates, const SamplingParams& params, double number) {
  const Softmax softmax{std::min_element(candidates.begin(), candidates.end(), comes_first)->logit,
                        params.temperature};
  // Sums go in order of id or of rank, so that their last bit depends on the logits alone.
  double total = 0;
  const bool cuts =
      params.top_k > 0 && static_cast<std::uint64_t>(params.top_k) < candidates.size();
  if (!cuts) {
    for (const Candidate& candidate : candidates) total += softmax.weight(candidate.logit);
  }
  Ranking ranking(std::move(candidates));
  if (cuts) {
    ranking.keep(static_cast<std::size_t>(params.top_k));
    for (std::size_t rank = 0; rank < ranking.size(); ++rank) {
      total += softmax.weight(ranking.at(rank).logit);
    }
  }
  std::size_t num_kept = ranking.size();
  if (params.top_p < 1) total = keep_top_p(ranking, softmax, params.top_p, total, num_kept);
  if (params.min_p > 0) total = keep_min_p(ranking, softmax, params.min_p, num_kept);
  double below = 0;
  for (std::size_t rank = 0; rank < num_kept; ++rank) {
    below += softmax.weight(ranking.at(rank).logit);
    if (number * total < below) return ranking.at(rank).id;
  }
  // Rounding: the sum in order of rank fell short of the total. The likeliest is a fair choice.
  return ranking.at(0).id;
}

std::string at_position(std::uint64_t position) {
  return fmt::format("of the token at position {}", position);
}

/// Leaves out what cannot be chosen: NaN and forbidden ids. Throws, by name, if nothing is left.
void keep_choosable(std::vector<Candidate>& candidates, std::int64_t num_logits,
                    const SamplingContext& context, std::uint64_t position, Location caller) {
  if (candidates.empty() && context.allowed != nullptr) {
    throw_error(ErrorCode::kInternal,
                fmt::format("the constraint allows none of {} tokens", num_logits),
                at_position(position), "leave the constraint out, and report this", caller);
  }
  const std::size_t num_allowed = candidates.size();
  std::erase_if(candidates, [](const Candidate& candidate) { return std::isnan(candidate.logit); });
  if (candidates.empty()) {
    throw_error(ErrorCode::kDataLoss,
                context.allowed == nullptr
                    ? fmt::format("all {} logits are NaN", num_logits)
                    : fmt::format("all {} logits that may be chosen are NaN", num_allowed),
                at_position(position),
                "run again with CARDLOOM_LAUNCH_BLOCKING=2, which names the first operator whose "
                "output is no number",
                caller);
  }
  if (context.forbidden_ids.empty()) return;
  std::erase_if(candidates, [&](const Candidate& candidate) {
    return std::find(context.forbidden_ids.begin(), context.forbidden_ids.end(), candidate.id) !=
           context.forbidden_ids.end();
  });
  if (candidates.empty()) {
    throw_error(ErrorCode::kInvalidArgument,
                "only stop ids may come next, but min_tokens asks for more tokens",
                at_position(position), "ask for a smaller min_tokens", caller);
  }
}

/// `candidates` are in order of id, and at least one.
std::int32_t choose(std::vector<Candidate> candidates, const SamplingParams& params,
                    std::uint64_t position) {
  if (params.temperature == 0) {
    return std::min_element(candidates.begin(), candidates.end(), comes_first)->id;
  }
  return draw(std::move(candidates), params, uniform(params.seed, position));
}

}  // namespace

std::int64_t candidates_needed(const SamplingParams& params, bool has_constraint,
                               std::int64_t num_forbidden) {
  if (has_constraint || moves_logits(params) || params.num_logprobs >= 0) return 0;
  if (params.temperature != 0 && (params.top_k < 1 || params.top_k >= kMaxCandidates)) return 0;
  const std::int64_t count = params.temperature == 0 ? 1 : params.top_k + 1;
  return num_forbidden <= kMaxCandidates - count ? count + num_forbidden : 0;
}

SampledToken sample(std::span<const float> logits, const SamplingParams& params,
                    const SamplingContext& context, std::uint64_t position, Location caller) {
  validate(params, caller).or_throw();
  if (logits.empty() ||
      logits.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("cannot choose a token from {} logits", logits.size()), {}, {}, caller);
  }
  std::vector<Candidate> candidates =
      moves_logits(params) ? candidates_of(moved(logits, params, context), context.allowed)
                           : candidates_of(logits, context.allowed);
  keep_choosable(candidates, static_cast<std::int64_t>(logits.size()), context, position, caller);
  SampledToken token{.id = choose(std::move(candidates), params, position)};
  if (params.num_logprobs >= 0) token.logprobs = logprobs_of(logits, token.id, params.num_logprobs);
  return token;
}

SampledToken sample_candidates(std::vector<Candidate> candidates, std::int64_t num_logits,
                               const SamplingParams& params, const SamplingContext& context,
                               std::uint64_t position, Location caller) {
  validate(params, caller).or_throw();
  const auto num_forbidden = static_cast<std::int64_t>(context.forbidden_ids.size());
  if (candidates_needed(params, context.allowed != nullptr, num_forbidden) == 0) {
    throw_error(ErrorCode::kInternal, "the largest logits are not enough to choose a token from",
                at_position(position), {}, caller);
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  keep_choosable(candidates, num_logits, context, position, caller);
  return {.id = choose(std::move(candidates), params, position)};
}

}  // namespace cardloom
