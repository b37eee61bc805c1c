#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cardloom::synth {

/// A counter-based generator: the n-th number of a seed, the same on every machine.
/// Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"
/// (splitmix64).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  /// Of a tensor or a row: another stream for every name.
  Random(std::uint64_t seed, std::string_view name);

  std::uint64_t next();
  /// [0, bound); bound > 0.
  std::int64_t below(std::int64_t bound);
  /// About N(0, 1): twelve uniform numbers' sum, in integers, so without a libm that may round
  /// otherwise elsewhere. Never beyond 6.
  float gaussian();

 private:
  std::uint64_t state_;
};

/// `count` numbers of N(0, deviation^2) as bf16.
[[nodiscard]] std::vector<std::uint16_t> bf16_pool(std::uint64_t seed, std::int64_t count,
                                                   float deviation);
/// The same as f32.
[[nodiscard]] std::vector<float> f32_pool(std::uint64_t seed, std::int64_t count, float deviation);

}  // namespace cardloom::synth
