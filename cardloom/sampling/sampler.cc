#include "cardloom/sampling/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
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

/// All logits but NaN, after the penalty.
std::vector<Candidate> penalised(std::span<const float> logits, double repetition_penalty,
                                 std::span<const std::int32_t> previous_tokens) {
  std::vector<Candidate> candidates(logits.size());
  for (std::size_t id = 0; id < logits.size(); ++id) {
    candidates[id] = {logits[id], static_cast<std::int32_t>(id)};
  }
  if (repetition_penalty != 1) {
    const auto penalty = static_cast<float>(repetition_penalty);  // f32 arithmetic, as torch's
    std::vector<bool> seen(logits.size());
    for (const std::int32_t id : previous_tokens) {
      if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) continue;
      if (seen[static_cast<std::size_t>(id)]) continue;
      seen[static_cast<std::size_t>(id)] = true;
      float& logit = candidates[static_cast<std::size_t>(id)].logit;
      logit = logit < 0 ? logit * penalty : logit / penalty;
    }
  }
  std::erase_if(candidates, [](const Candidate& candidate) { return std::isnan(candidate.logit); });
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

std::int32_t draw(std::vector<Candidate> candidates, const SamplingParams& params, double number) {
  const Softmax softmax{std::min_element(candidates.begin(), candidates.end(), comes_first)->logit,
                        params.temperature};
  // Sums go in order of id or of rank, so that their last bit depends on the logits alone.
  double total = 0;
  for (const Candidate& candidate : candidates) total += softmax.weight(candidate.logit);
  Ranking ranking(std::move(candidates));
  if (params.top_k > 0 && static_cast<std::uint64_t>(params.top_k) < ranking.size()) {
    ranking.keep(static_cast<std::size_t>(params.top_k));
    total = 0;
    for (std::size_t rank = 0; rank < ranking.size(); ++rank) {
      total += softmax.weight(ranking.at(rank).logit);
    }
  }
  std::size_t num_kept = ranking.size();
  if (params.top_p < 1) total = keep_top_p(ranking, softmax, params.top_p, total, num_kept);
  double below = 0;
  for (std::size_t rank = 0; rank < num_kept; ++rank) {
    below += softmax.weight(ranking.at(rank).logit);
    if (number * total < below) return ranking.at(rank).id;
  }
  // Rounding: the sum in order of rank fell short of the total. The likeliest is a fair choice.
  return ranking.at(0).id;
}

[[noreturn]] void throw_no_number(std::int64_t num_logits, std::uint64_t position,
                                  Location caller) {
  throw_error(ErrorCode::kDataLoss, fmt::format("all {} logits are NaN", num_logits),
              fmt::format("of the token at position {}", position),
              "run again with CARDLOOM_LAUNCH_BLOCKING=2, which names the first operator whose "
              "output is no number",
              caller);
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

std::int64_t candidates_needed(const SamplingParams& params) {
  if (params.repetition_penalty != 1) return 0;
  if (params.temperature == 0) return 1;
  return params.top_k >= 1 && params.top_k < kMaxCandidates ? params.top_k + 1 : 0;
}

std::int32_t sample(std::span<const float> logits, const SamplingParams& params,
                    std::span<const std::int32_t> previous_tokens, std::uint64_t position,
                    Location caller) {
  validate(params, caller).or_throw();
  if (logits.empty() ||
      logits.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("cannot choose a token from {} logits", logits.size()), {}, {}, caller);
  }
  std::vector<Candidate> candidates = penalised(logits, params.repetition_penalty, previous_tokens);
  if (candidates.empty()) {
    throw_no_number(static_cast<std::int64_t>(logits.size()), position, caller);
  }
  return choose(std::move(candidates), params, position);
}

std::int32_t sample_candidates(std::vector<Candidate> candidates, std::int64_t num_logits,
                               const SamplingParams& params, std::uint64_t position,
                               Location caller) {
  validate(params, caller).or_throw();
  if (candidates.empty()) throw_no_number(num_logits, position, caller);
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  return choose(std::move(candidates), params, position);
}

}  // namespace cardloom
