#pragma once

#include <cstdint>

namespace cardloom {

/// One group of activations as int8, for quantised weights: x[i] ~ scale * q[i].
struct ActivationGroup {
  float scale = 0;
  std::int32_t sum = 0;  ///< of q: what a weight's zero point is multiplied with
};

/// Magnitudes below 2^-100 count as zero: 127 / m would overflow.
inline constexpr float kSmallestActivation = 0x1p-100F;

/// q[i] = round_to_even(x[i] * (127 / m)), scale = m / 127, with m = max |x[i]|
///
/// x  f32 [count] that bf16 can hold; q  [count]
///
/// All zero (or below kSmallestActivation): scale 0, q 0. A NaN or Inf anywhere: scale NaN, q 0, so
/// that every product with the group is NaN. This is the definition; kernels give the same bits.
ActivationGroup quantise_activations(const float* x, std::int64_t count, std::int8_t* q);

}  // namespace cardloom
