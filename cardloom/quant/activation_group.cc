#include "cardloom/quant/activation_group.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace cardloom {

ActivationGroup quantise_activations(const float* x, std::int64_t count, std::int8_t* q) {
  std::uint32_t largest = 0;  // as bits: magnitudes order like integers, Inf and NaN on top
  for (std::int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffU);
  }
  const auto m = std::bit_cast<float>(largest);
  for (std::int64_t i = 0; i < count; ++i) q[i] = 0;
  if (!std::isfinite(m)) return {.scale = std::numeric_limits<float>::quiet_NaN(), .sum = 0};
  if (m < kSmallestActivation) return {};
  ActivationGroup group{.scale = m / 127.0F, .sum = 0};
  const float factor = 127.0F / m;
  for (std::int64_t i = 0; i < count; ++i) {
    q[i] = static_cast<std::int8_t>(std::lrintf(x[i] * factor));
    group.sum += q[i];
  }
  return group;
}

}  // namespace cardloom
