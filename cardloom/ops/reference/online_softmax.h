#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "cardloom/ops/paged_attention.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom::reference {

/// softmax(scores) . values of one row, one block of keys after the other; scores in base 2.
/// Source: Milakov and Gimelshein 2018, arXiv:1805.02867, alg. 3.
class OnlineSoftmax {
 public:
  OnlineSoftmax(std::int64_t D, bool rounds_weights)
      : sum_(static_cast<std::size_t>(D)), rounds_weights_(rounds_weights) {}

  /// Adds the next keys of the row; value(j, d) is element d of the value that scores[j] weighs.
  template <class Value>
  void add_block(const std::vector<float>& scores, Value value) {
    const float block_max = *std::max_element(scores.begin(), scores.end());
    const float block_shift = shift_of(block_max);
    float block_total = 0;
    std::vector<float> block_sum(sum_.size());
    for (std::size_t j = 0; j < scores.size(); ++j) {
      float weight = std::exp2(scores[j] - block_shift);
      if (rounds_weights_) weight = to_f32(to_bf16(weight));
      block_total += weight;
      for (std::size_t d = 0; d < sum_.size(); ++d) {
        block_sum[d] += weight * value(static_cast<std::int64_t>(j), static_cast<std::int64_t>(d));
      }
    }
    const float highest = std::max(max_, block_max);
    const float keep = std::exp2(max_ - shift_of(highest));
    const float gain = std::exp2(block_max - shift_of(highest));
    total_ = total_ * keep + block_total * gain;
    for (std::size_t d = 0; d < sum_.size(); ++d) sum_[d] = sum_[d] * keep + block_sum[d] * gain;
    max_ = highest;
  }

  [[nodiscard]] float result(std::int64_t d) const {
    return sum_[static_cast<std::size_t>(d)] / total_;
  }

 private:
  /// Nothing but -inf so far: 2^(-inf - 0) is the 0 that it weighs, 2^(-inf - -inf) would be NaN.
  static float shift_of(float max) {
    return max == -std::numeric_limits<float>::infinity() ? 0 : max;
  }

  float max_ = -std::numeric_limits<float>::infinity();
  float total_ = 0;
  std::vector<float> sum_;
  bool rounds_weights_;
};

/// out = softmax over j < n of (scale * q . key_j) . value_j for one row of D elements of `dtype`,
/// through accessors query(d), key(j, d), value(j, d), write(d, result). n = 0 writes 0.
template <class Query, class Key, class Value, class Write>
void attend_row(DType dtype, std::int64_t n, std::int64_t D, float scale, Query query, Key key,
                Value value, Write write) {
  const float factor = scale * std::numbers::log2e_v<float>;
  OnlineSoftmax softmax(D, dtype == DType::kBF16);
  for (std::int64_t first = 0; first < n; first += kAttentionKeyBlock) {
    std::vector<float> scores;
    for (std::int64_t j = first; j < std::min<std::int64_t>(n, first + kAttentionKeyBlock); ++j) {
      float score = 0;
      for (std::int64_t d = 0; d < D; ++d) score += query(d) * key(j, d);
      scores.push_back(score * factor);
    }
    softmax.add_block(scores, [&](std::int64_t j, std::int64_t d) { return value(first + j, d); });
  }
  for (std::int64_t d = 0; d < D; ++d) write(d, n == 0 ? 0.0F : softmax.result(d));
}

}  // namespace cardloom::reference
