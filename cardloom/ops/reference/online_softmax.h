#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cardloom/ops/paged_attention.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom::reference {

/// softmax(scores) . values of one row, one block of keys after the other.
/// Source: Milakov and Gimelshein 2018, arXiv:1805.02867, alg. 3.
class OnlineSoftmax {
 public:
  explicit OnlineSoftmax(std::int64_t D) : sum_(static_cast<std::size_t>(D)) {}

  /// Adds the next keys of the row; value(j, d) is element d of the value that scores[j] weighs.
  template <class Value>
  void add_block(const std::vector<float>& scores, Value value) {
    const float highest = std::max(max_, *std::max_element(scores.begin(), scores.end()));
    // A row of -inf so far: exp(-inf - 0) is the 0 that it weighs, exp(-inf - -inf) would be NaN.
    const float shift = highest == -std::numeric_limits<float>::infinity() ? 0 : highest;
    const float factor = std::exp(max_ - shift);
    total_ *= factor;
    for (float& sum : sum_) sum *= factor;
    for (std::size_t j = 0; j < scores.size(); ++j) {
      const float weight = std::exp(scores[j] - shift);
      total_ += weight;
      for (std::size_t d = 0; d < sum_.size(); ++d) {
        sum_[d] += weight * value(static_cast<std::int64_t>(j), static_cast<std::int64_t>(d));
      }
    }
    max_ = highest;
  }

  [[nodiscard]] float result(std::int64_t d) const {
    return sum_[static_cast<std::size_t>(d)] / total_;
  }

 private:
  float max_ = -std::numeric_limits<float>::infinity();
  float total_ = 0;
  std::vector<float> sum_;
};

/// out = softmax over j < n of (scale * q . key_j) . value_j for one row of D elements, through
/// accessors query(d), key(j, d), value(j, d), write(d, result). n = 0 writes 0.
template <class Query, class Key, class Value, class Write>
void attend_row(std::int64_t n, std::int64_t D, float scale, Query query, Key key, Value value,
                Write write) {
  OnlineSoftmax softmax(D);
  for (std::int64_t first = 0; first < n; first += kAttentionKeyBlock) {
    std::vector<float> scores;
    for (std::int64_t j = first; j < std::min(n, first + kAttentionKeyBlock); ++j) {
      float score = 0;
      for (std::int64_t d = 0; d < D; ++d) score += query(d) * key(j, d);
      scores.push_back(score * scale);
    }
    softmax.add_block(scores, [&](std::int64_t j, std::int64_t d) { return value(first + j, d); });
  }
  for (std::int64_t d = 0; d < D; ++d) write(d, n == 0 ? 0.0F : softmax.result(d));
}

}  // namespace cardloom::reference
