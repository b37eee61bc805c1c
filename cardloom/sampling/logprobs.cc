#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cardloom/base/error.h"
#include "cardloom/sampling/sampler.h"

namespace cardloom {
namespace {

/// ln softmax, made once for a row of logits.
class LogSoftmax {
 public:
  explicit LogSoftmax(std::span<const float> logits) {
    for (const float logit : logits) {
      if (logit > largest_) largest_ = logit;
    }
    double sum = 0;
    for (const float logit : logits) {
      if (!std::isnan(logit)) sum += std::exp(distance(logit));
    }
    log_sum_ = std::log(sum);
  }

  [[nodiscard]] double at(float logit) const {
    return std::isnan(logit) ? -std::numeric_limits<double>::infinity()
                             : distance(logit) - log_sum_;
  }

 private:
  /// Also of Inf from Inf, whose difference would be NaN.
  [[nodiscard]] double distance(float logit) const {
    return logit == largest_ ? 0 : static_cast<double>(logit) - largest_;
  }

  float largest_ = -std::numeric_limits<float>::infinity();
  double log_sum_ = 0;
};

}  // namespace

TokenLogprobs logprobs_of(std::span<const float> logits, std::int32_t chosen, std::int64_t num_top,
                          Location caller) {
  if (chosen < 0 || static_cast<std::size_t>(chosen) >= logits.size()) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("token {} is none of {} logits", chosen, logits.size()), {}, {},
                caller);
  }
  const LogSoftmax log_softmax(logits);
  TokenLogprobs result;
  result.chosen = {chosen, log_softmax.at(logits[static_cast<std::size_t>(chosen)])};
  // A heap of the best so far with the worst of them in front: one look at most tokens.
  const auto comes_first = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  std::vector<Candidate> best;
  const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(num_top, 0));
  for (std::size_t id = 0; id < logits.size() && wanted > 0; ++id) {
    const Candidate candidate{logits[id], static_cast<std::int32_t>(id)};
    if (std::isnan(candidate.logit)) continue;
    if (best.size() == wanted) {
      if (!comes_first(candidate, best.front())) continue;
      std::pop_heap(best.begin(), best.end(), comes_first);
      best.pop_back();
    }
    best.push_back(candidate);
    std::push_heap(best.begin(), best.end(), comes_first);
  }
  std::sort_heap(best.begin(), best.end(), comes_first);
  for (const Candidate& candidate : best) {
    result.top.push_back({candidate.id, log_softmax.at(candidate.logit)});
  }
  return result;
}

}  // namespace cardloom
