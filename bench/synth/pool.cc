#include "bench/synth/pool.h"

#include "cardloom/tensor/dtype.h"

namespace cardloom::synth {

Random::Random(std::uint64_t seed, std::string_view name) : state_(seed) {
  for (const char letter : name) {
    state_ ^= static_cast<unsigned char>(letter);
    static_cast<void>(next());
  }
}

std::uint64_t Random::next() {
  state_ += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

std::int64_t Random::below(std::int64_t bound) {
  return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(bound));
}

float Random::gaussian() {
  std::int64_t sum = 0;
  for (int word = 0; word < 3; ++word) {
    for (std::uint64_t bits = next(), part = 0; part < 4; ++part, bits >>= 16) {
      sum += static_cast<std::int64_t>(bits & 0xffff);
    }
  }
  // Twelve of mean 65535/2 and variance (2^32 - 1)/12: their sum has a deviation of 2^16.
  return static_cast<float>(sum - 12 * 65535 / 2) * (1.0F / 65536);
}

std::vector<float> f32_pool(std::uint64_t seed, std::int64_t count, float deviation) {
  Random random(seed);
  std::vector<float> pool(static_cast<std::size_t>(count));
  for (float& value : pool) value = random.gaussian() * deviation;
  return pool;
}

std::vector<std::uint16_t> bf16_pool(std::uint64_t seed, std::int64_t count, float deviation) {
  std::vector<std::uint16_t> pool;
  pool.reserve(static_cast<std::size_t>(count));
  for (const float value : f32_pool(seed, count, deviation)) pool.push_back(to_bf16(value).bits);
  return pool;
}

}  // namespace cardloom::synth
